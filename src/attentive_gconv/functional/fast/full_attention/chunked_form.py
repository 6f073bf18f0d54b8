r"""The chunked form of full attention, in standard operators: what `torch.export` records.

    out[m] = q·( s·Σ_{c,g} f~[m,c,g] + a·Σ_g α_X[m,g]·V[m,g] ),   V[m,g] = Σ_c α_C[m,c,g] f~[m,c,g]

m = (o, h) is an output channel and pose, g = h' an input pose, (s, a) the combination, (1, -1) in the paper. All (m, g)
are independent of each other, so that f~ exists for one g and one chunk of m at a time. The first sum is the plain
convolution.

The graph holds a copy of the formulas for every chunk and g. Within `full_attention_as_loops` a layer that needs more
than `MOST_COPIES` is a loop over its chunks instead (`torch.ops.higher_order.scan`, in ONNX ``Scan``). Exported files
run loops; `fx.symbolic_trace` and FLOP counters refuse them.

Source: Romero et al., ICML 2020, §4-5, https://arxiv.org/abs/2002.03830. Deviations: none in values.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.chunking import fitting
from attentive_gconv.functional.definition.group_convolution import group_conv2d_definition
from attentive_gconv.functional.fast.dispatch import constant_when_compiled
from attentive_gconv.functional.gating import channel_logits, position_statistics
from attentive_gconv.functional.geometry import output_size
from attentive_gconv.functional.operands import FullAttentionWeights

# the batch for which a chunk fits the budget: in an exported graph the batch is not known
NOMINAL_BATCH = 64
# outputs that a vector holds: smaller chunks take longer for each output, larger ones leave the cache
VECTOR = 8
# oneDNN's grouped convolution is quicker with channels last, copying included, for 96 channels, but not for 48
MANY_CHANNELS = 64
# copies of the formulas are quicker than a loop: onnxruntime prepares constant weights
MOST_COPIES = 64

_loops: ContextVar[bool] = ContextVar("loops", default=False)


@contextmanager
def full_attention_as_loops() -> Iterator[None]:
    """Export layers that need many chunks as loops, see above."""
    token = _loops.set(True)
    try:
        yield
    finally:
        _loops.reset(token)


def attentive_conv2d_by_chunks(x: Tensor, weights: FullAttentionWeights, memory_budget: int) -> Tensor:
    """`attentive_gconv.functional.attentive_conv2d` by chunks.

    Args:
        x: ``(B, C, |H'|, Y, X)``; the chunks depend on Y and X, which are fixed in the graph.
        weights: of the layer.
        memory_budget: largest number of bytes for f~ and α_C·f~ of a chunk at `NOMINAL_BATCH` images, within
            `full_attention_as_loops`; a chunk has at least `VECTOR` outputs. Chunks are small, since what stays in
            cache is quicker: there are as many as `MOST_COPIES` allows.

    Example:
        >>> x, kernel = torch.randn(1, 2, 4, 5, 5), torch.randn(3, 4, 2, 4, 3, 3)
        >>> weights = FullAttentionWeights(kernel, spatial_kernel=torch.randn(3, 4, 2, 4, 7, 7))
        >>> attentive_conv2d_by_chunks(x, weights, memory_budget=1).shape
        torch.Size([1, 3, 4, 3, 3])
    """
    outputs, channels, order = weights.kernel.shape[:2], weights.kernel.shape[2], x.shape[2]
    side = weights.kernel.shape[-1]
    rows, columns = output_size((int(x.shape[-2]), int(x.shape[-1])), (side, side), *weights.sides())
    bytes_each = 2 * NOMINAL_BATCH * channels * rows * columns * x.element_size()
    count = outputs.numel()
    number = _number_of_chunks(count, order, bytes_each, memory_budget)
    chunked = [
        None if weight is None else _in_chunks(weight, number, axis)
        for weight, axis in zip(weights.tensors(), (2, 3, 3, 2), strict=True)
    ]

    def chunk(x: Tensor, batch: int, there: Sequence[Tensor]) -> Tensor:
        """Σ_g α_X·V of a chunk, ``(B, M, Y', X')``."""
        given = iter(there)
        parts = [None if weight is None else next(given) for weight in chunked]
        poses = [
            _attended_sum(x[:, :, g], batch, weights, [None if part is None else part[g] for part in parts])
            for g in range(order)
        ]
        return sum(poses[1:], poses[0])

    found = _all_chunks(chunk, x, [weight for weight in chunked if weight is not None])[:, :count].unflatten(1, outputs)
    total = weights.combination.attended * found
    if weights.combination.skip:
        plain = group_conv2d_definition(x, weights.kernel, None, weights.stride, weights.padding, weights.dilation)
        total = total + weights.combination.skip * plain
    return weights.scale * total


@constant_when_compiled
def _in_loops() -> bool:
    return _loops.get()


def _number_of_chunks(count: int, order: int, bytes_each: int, budget: int) -> int:
    """As many as `MOST_COPIES` allows, but of at least `VECTOR` outputs; more, in loops, if the budget asks for it."""
    most = max(1, MOST_COPIES // order)
    number = min(ceil(count / VECTOR), most)
    return max(number, ceil(count / max(VECTOR, fitting(count, bytes_each, budget)))) if _in_loops() else number


def _in_chunks(weight: Tensor, number: int, axis: int) -> Tensor:
    """``(O·|H|, ...)`` with |H'| at ``axis``, of unflattened weights: ``(chunks, |H'|, M, ...)``, zeros at the end."""
    weight = weight.flatten(0, 1).movedim(axis, 0)
    width = ceil(weight.shape[1] / number)
    missing = number * width - weight.shape[1]
    if missing:
        weight = torch.cat([weight, weight.new_zeros(len(weight), missing, *weight.shape[2:])], 1)
    return weight.unflatten(1, (number, width)).transpose(0, 1).contiguous()


def _all_chunks(chunk: Callable[[Tensor, int, Sequence[Tensor]], Tensor], x: Tensor, parts: list[Tensor]) -> Tensor:
    """The results of all chunks, ``(B, chunks·M, Y', X')``."""
    batch = x.shape[0]
    if not _in_loops() or parts[0].shape[:2].numel() <= MOST_COPIES:
        return torch.cat([chunk(x, batch, each) for each in zip(*parts, strict=True)], 1)

    def body(x: Tensor, *operands: Any) -> list[Tensor]:
        symbol = operands[len(parts) :]
        # a loop must not return what it is given
        return [x.clone(), chunk(x, symbol[0] if symbol else batch, operands[: len(parts)])]

    # x goes from chunk to chunk: onnxruntime crashes if a body takes a quantized map from outside. A symbol for the
    # batch must be given to the loop, or Inductor does not know it
    found: Tensor = torch.ops.higher_order.scan(body, [x], parts, () if isinstance(batch, int) else (batch,))[1]
    return found.transpose(0, 1).flatten(1, 2)


def _attended_sum(
    x: Tensor,
    batch: int,
    weights: FullAttentionWeights,
    parts: Sequence[Tensor | None],
) -> Tensor:
    """α_X·V of a chunk, ``(B, M, Y', X')``, for one input pose.

    Args:
        x: ``(B, C, Y, X)``.
        batch: B.
        weights: the options.
        parts: of the kernel ``(M, C, k, k)``, W1 ``(M, R, C)``, W2 ``(M, C, R)`` and ψ_X ``(M, 2, a, a)``.
    """
    kernel, fc1, fc2, psi = parts
    assert kernel is not None
    count, channels = kernel.shape[:2]
    filters = kernel.transpose(0, 1).flatten(0, 1).unsqueeze(1)
    if channels >= MANY_CHANNELS:
        x = x.contiguous(memory_format=torch.channels_last)
    planes = F.conv2d(x, filters, None, weights.stride, weights.padding, weights.dilation, groups=channels).contiguous()
    attended: Tensor = planes.view(batch, channels, count, *planes.shape[-2:])
    if fc1 is not None and fc2 is not None:
        logits = channel_logits(
            position_statistics(attended),
            lambda s: torch.einsum("mrc,bcm->bmr", fc1, s),
            lambda hidden: torch.einsum("mcr,bmr->bcm", fc2, hidden),
        )
        attended = logits.sigmoid()[..., None, None] * attended
    value = attended.sum(1)
    if psi is None:
        return value
    # two convolutions, each of one channel a group, are quicker than one of two
    reach, spread = weights.spatial_dilation * (psi.shape[-1] // 2), weights.spatial_dilation
    logits = F.conv2d(value, psi[:, :1] / channels, None, 1, reach, spread, groups=count)
    logits = logits + F.conv2d(attended.max(1).values, psi[:, 1:], None, 1, reach, spread, groups=count)
    return logits.sigmoid() * value
