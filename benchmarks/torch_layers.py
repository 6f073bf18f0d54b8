"""Which of PyTorch's own layers are equivariant on maps ``(B, C, |H|, Y, X)``: the errors, measured.

    python benchmarks/torch_layers.py --out benchmarks/results/torch-layers.json --page docs/reference/torch-layers.md

Every layer has random weights and, where it has any, random statistics. Its error is the largest of
`check_equivariance` over all elements of the group, in float64, on maps with even and with odd sides. A layer counts as
equivariant if none is above 1e-12. ``--page`` writes the table into the page.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.files import write_json
from page_block import fill_page
from provenance import published_environment

CHANNELS, SIDES, EQUIVARIANT = 4, (8, 9), 1e-12
GROUPS = ("p4", "p4m")

# name, how it is made for a group of this order, why it is, or is not, equivariant
Row = tuple[str, Callable[[int], Callable[[Tensor], Tensor]], str]
POINTWISE, SPATIAL = "acts on every value alike", "acts on every plane alike, windows symmetric about the centre"
KERNEL, POSES = "its kernel is not turned with the pose", "treats the group axis as space"
PLACES = "has a parameter for every position, which is not turned"
TORCH: list[Row] = [
    ("GELU(), ReLU(), SiLU(), Tanh() …", lambda order: nn.GELU(), POINTWISE),
    ("PReLU(C)", lambda order: nn.PReLU(CHANNELS), "one slope a channel"),
    ("Softmax(dim=1)", lambda order: nn.Softmax(1), "over channels, alike everywhere"),
    ("BatchNorm3d(C)", lambda order: nn.BatchNorm3d(CHANNELS), "statistics over group and space"),
    ("InstanceNorm3d(C)", lambda order: nn.InstanceNorm3d(CHANNELS, affine=True), "statistics over group and space"),
    ("GroupNorm(2, C)", lambda order: nn.GroupNorm(2, CHANNELS), "statistics over group and space"),
    ("Conv3d(C, O, 1)", lambda order: nn.Conv3d(CHANNELS, 3, 1), "mixes channels, alike everywhere"),
    ("MaxPool3d((1, 2, 2))", lambda order: nn.MaxPool3d((1, 2, 2)), f"{SPATIAL}, if the sides are even"),
    ("MaxPool3d((1, 3, 3), 1, (0, 1, 1))", lambda order: nn.MaxPool3d((1, 3, 3), 1, (0, 1, 1)), SPATIAL),
    ("AvgPool3d((1, 2, 2))", lambda order: nn.AvgPool3d((1, 2, 2)), f"{SPATIAL}, if the sides are even"),
    ("AdaptiveAvgPool3d((None, 3, 3))", lambda order: nn.AdaptiveAvgPool3d((None, 3, 3)), SPATIAL),
    ("AdaptiveMaxPool3d((None, 3, 3))", lambda order: nn.AdaptiveMaxPool3d((None, 3, 3)), SPATIAL),
    ("Upsample(scale_factor=(1, 2, 2))", lambda order: nn.Upsample(scale_factor=(1, 2, 2)), SPATIAL),
    (
        "Upsample(scale_factor=(1, 2, 2), mode='trilinear')",
        lambda order: nn.Upsample(scale_factor=(1, 2, 2), mode="trilinear"),
        SPATIAL,
    ),
    ("ReflectionPad3d((1, 1, 1, 1, 0, 0))", lambda order: nn.ReflectionPad3d((1, 1, 1, 1, 0, 0)), SPATIAL),
    (
        "LayerNorm over (C, H, Y, X), without parameters",
        lambda order: lambda x: F.layer_norm(x, x.shape[1:]),
        "statistics over everything",
    ),
    ("LayerNorm over (Y, X), with parameters", lambda order: _LayerNorm(2, order), PLACES),
    ("LayerNorm over (C, H, Y, X), with parameters", lambda order: _LayerNorm(4, order), PLACES),
    ("Conv3d(C, O, (1, 3, 3))", lambda order: nn.Conv3d(CHANNELS, 3, (1, 3, 3)), KERNEL),
    ("Conv3d(C, O, 3)", lambda order: nn.Conv3d(CHANNELS, 3, 3), f"{KERNEL}, and it {POSES}"),
    (
        "ConvTranspose3d(C, O, (1, 2, 2), (1, 2, 2))",
        lambda order: nn.ConvTranspose3d(CHANNELS, 3, (1, 2, 2), (1, 2, 2)),
        KERNEL,
    ),
    ("MaxPool3d(2)", lambda order: nn.MaxPool3d(2), POSES),
    ("Upsample(scale_factor=2)", lambda order: nn.Upsample(scale_factor=2), POSES),
    (
        "Upsample(scale_factor=(1, 1.5, 1.5))",
        lambda order: nn.Upsample(scale_factor=(1, 1.5, 1.5)),
        "nearest neighbours are rounded down: not symmetric",
    ),
    (
        "BatchNorm2d(C·H) on (B, C·H, Y, X)",
        lambda order: _Flat(nn.BatchNorm2d(CHANNELS * order)),
        "has statistics of its own for every pose",
    ),
    ("Linear on the last axis", lambda order: _Linear(), "mixes the positions of a row"),
]
OURS: list[Row] = [
    ("GroupConvTranspose2d(g, C, O, 2, 2)", lambda order: _transposed(order, 2), "exact for every size"),
    ("GroupConvTranspose2d(g, C, O, 4, 2, 1)", lambda order: _transposed(order, 4, padding=1), "exact for every size"),
    (
        "the same with output_padding=1, which is not offered",
        lambda order: _with_output_padding(order),
        "adds a row and a column at one border",
    ),
    ("SpatialUpsample2d(2)", lambda order: ag.nn.SpatialUpsample2d(2), "exact, to the last bit"),
    ("SpatialUpsample2d(2, 'bilinear')", lambda order: ag.nn.SpatialUpsample2d(2, "bilinear"), "exact, to rounding"),
    ("SpatialUpsample2d(3, 'bicubic')", lambda order: ag.nn.SpatialUpsample2d(3, "bicubic"), "exact, to rounding"),
    ("SpatialAdaptiveAvgPool2d(3)", lambda order: ag.nn.SpatialAdaptiveAvgPool2d(3), "exact for every size"),
    ("SpatialAdaptiveMaxPool2d(3)", lambda order: ag.nn.SpatialAdaptiveMaxPool2d(3), "exact for every size"),
]


class _LayerNorm(nn.Module):
    def __init__(self, axes: int, order: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        shape = x.shape[-self.axes :]
        weight, bias = (torch.randn(shape, generator=generator, dtype=x.dtype) for _ in range(2))
        return F.layer_norm(x, shape, weight, bias)


class _Flat(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1, 2)).unflatten(1, x.shape[1:3])


class _Linear(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        side = x.shape[-1]
        return x @ torch.randn(side, side, generator=torch.Generator().manual_seed(0), dtype=x.dtype)


def _transposed(order: int, kernel_size: int, padding: int = 0) -> nn.Module:
    group = next(group for group in map(ag.group, GROUPS) if group.order == order)
    return ag.nn.GroupConvTranspose2d(group, CHANNELS, 3, kernel_size, stride=2, padding=padding)


def _with_output_padding(order: int) -> Callable[[Tensor], Tensor]:
    layer = _transposed(order, 4, padding=1).double()

    def convolve(x: Tensor) -> Tensor:
        out = F.conv_transpose2d(x.flatten(1, 2), layer._filters(), None, 2, 1, output_padding=1)  # type: ignore[operator]
        return out.unflatten(1, (3, order))

    return convolve


def error(make: Callable[[int], Callable[[Tensor], Tensor]], name: str, sides: tuple[int, ...]) -> float | None:
    """The largest relative error of a layer for a group; None if what it gives has no axis of |H| poses."""
    torch.manual_seed(0)
    group = ag.group(name)
    layer = make(group.order)
    if isinstance(layer, nn.Module):
        layer.double()
        for tensor in layer.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
    maps = [torch.randn(2, CHANNELS, group.order, side, side, dtype=torch.float64) for side in sides]
    with torch.no_grad():
        if any(layer(x).shape[2] != group.order for x in maps):
            return None
    return max(float(ag.check_equivariance(layer, group, x).max()) for x in maps)


def measure() -> list[dict[str, Any]]:
    """All rows."""
    rows = []
    for library, layers in (("torch", TORCH), ("attentive_gconv", OURS)):
        for name, make, reason in layers:
            sides = SIDES[:1] if "if the sides are even" in reason else SIDES
            errors = {group: error(make, group, sides) for group in GROUPS}
            equivariant = all(each is not None and each <= EQUIVARIANT for each in errors.values())
            rows.append(
                {"library": library, "layer": name, "errors": errors, "equivariant": equivariant, "reason": reason}
            )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as the page shows them: PyTorch's equivariant layers, the others, and this library's."""
    parts = []
    for heading, chosen in (
        ("PyTorch's layers that are", [r for r in rows if r["library"] == "torch" and r["equivariant"]]),
        ("PyTorch's layers that are not", [r for r in rows if r["library"] == "torch" and not r["equivariant"]]),
        ("This library's up- and resampling", [r for r in rows if r["library"] != "torch"]),
    ):
        lines = [f"| {heading} | " + " | ".join(f"error, {group}" for group in GROUPS) + " | why |"]
        lines.append("|---|" + "---:|" * len(GROUPS) + "---|")
        for row in chosen:
            errors = " | ".join("no poses" if e is None else f"{e:.1e}" for e in row["errors"].values())
            lines.append(f"| `{row['layer']}` | {errors} | {row['reason']} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Read the command line, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="a .json file")
    parser.add_argument("--page", type=Path, help="a Markdown file with a place for the table")
    arguments = parser.parse_args()
    rows = measure()
    write_json(arguments.out, {"environment": published_environment(), "rows": rows})
    if arguments.page is not None:
        fill_page(arguments.page, "torch-layers", table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
