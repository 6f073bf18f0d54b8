"""Attentive convolutions on which the Triton backend is compared with the definition, and the comparison.

It runs on a GPU in the test's own process, or on the CPU through Triton's interpreter in one that `interpret` prepared:
the interpreter is chosen when kernels are imported, and tests of `torch.compile` beside it must not see it.
"""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional import FullAttentionWeights, attentive_conv2d, attentive_conv2d_definition
from attentive_gconv.functional.gating import COMBINATIONS


@dataclass(frozen=True)
class Case:
    """Sizes and options; order and depth are |H| and |H'|."""

    name: str
    order: int = 1
    depth: int = 1
    batch: int = 2
    channels: int = 2
    outputs: int = 2
    size: tuple[int, int] = (4, 4)
    kernel: int = 2
    side: int = 3
    channel: bool = True
    spatial: bool = True
    ties: bool = False
    dtype: torch.dtype = torch.float64
    combination: str = "suppress"
    options: tuple[tuple[str, Any], ...] = ()
    run: tuple[tuple[str, Any], ...] = ()
    programs: int = 1024
    poison: float | None = None


def interpret() -> None:
    """Let Triton interpret its kernels in this process."""
    os.environ["TRITON_INTERPRET"] = "1"
    torch.set_num_threads(1)


def tensors(case: Case, device: str) -> list[Tensor | None]:
    """x, kernel, fc1, fc2, spatial kernel."""
    torch.manual_seed(0)
    o, h, c, g = case.outputs, case.order, case.channels, case.depth
    x = torch.randn(case.batch, *case.size, c, g, dtype=case.dtype).permute(0, 3, 4, 1, 2)
    if case.ties:
        # patches of zeros, equal channels, equal columns; small integers and eighths, so that sums tie in any order
        x = x.relu().round()
        x[..., :2, :] = 0
        x[..., 1:] = x[..., :1]
        x[:, -1] = x[:, 0]
    if case.poison is not None:
        x[0, -1, 0, 1, 1] = case.poison
    hidden = max(1, c // 2)
    gate = [torch.randn(o, h, hidden, c, g).abs(), torch.randn(o, h, c, hidden, g)] if case.channel else [None, None]
    kernel = torch.randn(o, h, c, g, case.kernel, case.kernel)
    if case.ties:
        kernel = (8 * kernel).round() / 8
        kernel[:, :, -1] = kernel[:, :, 0]
    psi = 0.2 * torch.randn(o, h, 2, g, case.side, case.side) if case.spatial else None
    parts = [x, kernel, *gate, psi]
    return [None if t is None else t.to(device, case.dtype).requires_grad_() for t in parts]


def results(case: Case, device: str, method: str) -> dict[str, Tensor]:
    """The output and the gradient of everything that is learned, and of x."""
    parts = dict(zip(("x", "kernel", "fc1", "fc2", "spatial_kernel"), tensors(case, device), strict=True))
    options = {"scale": 1.3, "combination": COMBINATIONS[case.combination], **dict(case.options)}
    x, *given = parts.values()
    operands = FullAttentionWeights(*given, **options)
    if method == "definition":
        out = attentive_conv2d_definition(x, operands)
    else:
        out = attentive_conv2d(x, operands, backend=method, **dict(case.run))
    learned = {name: t for name, t in parts.items() if t is not None}
    torch.manual_seed(1)
    weights = torch.randn(out.shape, dtype=out.dtype).to(device)
    gradients = torch.autograd.grad(out, list(learned.values()), weights)
    found = {"out": out, **{f"d {name}": g for name, g in zip(learned, gradients, strict=True)}}
    if method != "definition" and case.run:
        # nothing is kept: other tiles
        with torch.no_grad():
            found["inference"] = attentive_conv2d(x, operands, backend=method, **dict(case.run))
    return {name: tensor.detach() for name, tensor in found.items()}


def differences(case: Case, device: str) -> dict[str, float]:
    """The largest difference from the definition, relative to the largest value; inf where one alone is not finite."""
    from attentive_gconv.functional.fast.full_attention import triton_backend

    before, triton_backend.PROGRAMS = triton_backend.PROGRAMS, case.programs
    try:
        # cuDNN's weight gradient of the plain convolution may use TF32
        with torch.backends.cudnn.flags(enabled=False):
            expected, actual = results(case, device, "definition"), results(case, device, "triton")
    finally:
        triton_backend.PROGRAMS = before
    return {name: difference(tensor, expected.get(name, expected["out"])) for name, tensor in actual.items()}


def difference(actual: Tensor, expected: Tensor) -> float:
    assert actual.shape == expected.shape
    finite = expected.isfinite()
    if not torch.equal(finite, actual.isfinite()):
        return float("inf")
    if not finite.any():
        return 0.0
    return float((actual - expected)[finite].abs().max() / expected[finite].abs().max().clamp(min=1e-30))


_BUDGET = ("memory_budget", 1)
CASES = [
    Case("z2", kernel=3, size=(3, 4), options=(("padding", 1),)),
    Case("p4_lifting", order=4, channels=3, outputs=1, size=(4, 3), options=(("stride", 2), ("padding", 1))),
    Case("p4_group", order=4, depth=4, batch=1, outputs=1, size=(3, 4), ties=True, options=(("spatial_dilation", 2),)),
    Case("p4m_one_position", order=8, depth=8, outputs=1, size=(2, 2), batch=1),
    Case("p4m_lifting", order=8, outputs=1, batch=1, channel=False, combination="amplify"),
    Case(
        "channel",
        spatial=False,
        size=(6, 7),
        combination="multiply",
        options=(("stride", (2, 3)), ("padding", (1, 2)), ("dilation", (1, 2))),
    ),
    Case("channel_ties", spatial=False, ties=True, combination="amplify", outputs=3),
    Case("spatial", channel=False, combination="multiply", side=7, size=(3, 4), ties=True),
    Case("uncovered_input", kernel=1, size=(5, 5), options=(("stride", 3),)),
    Case("float32", dtype=torch.float32, channels=3, outputs=3, size=(3, 4), ties=True),
    Case("many_channels", channels=300, outputs=1, batch=1, size=(2, 1), kernel=1, channel=False),
    Case("many_gated_channels", channels=21, outputs=11, batch=1, size=(2, 2), kernel=1),
    Case("tail_of_positions", channels=1, outputs=1, batch=1, size=(13, 11), kernel=1),
    Case("no_budget", run=(_BUDGET,), size=(3, 3)),
    Case("recompute", run=(("recompute", True), _BUDGET), size=(3, 3)),
    Case("uneven_shares", batch=3, size=(3, 3), programs=2),
    *(Case(f"poison_{value}", poison=value, channels=1, size=(4, 4)) for value in (float("nan"), float("inf"))),
    Case("poison_spatial", poison=float("nan"), channel=False, size=(5, 4)),
    Case("poison_uncovered", poison=float("nan"), kernel=1, size=(5, 5), spatial=False, options=(("stride", 3),)),
]
