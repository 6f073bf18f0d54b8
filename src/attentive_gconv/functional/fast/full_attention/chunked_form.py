r"""The chunked form of full attention, in standard operators: what `torch.export` records.

    out[m] = q·( s·Σ_{c,g} f~[m,c,g] + a·Σ_g α_X[m,g]·V[m,g] ),   V[m,g] = Σ_c α_C[m,c,g] f~[m,c,g]

m = (o, h) is an output channel and pose, g = h' an input pose, (s, a) the combination, (1, -1) in the paper. All (m, g)
are independent of each other, so that f~ exists for one g and one chunk of m at a time. The first sum is the plain
convolution.

The graph holds a copy of the formulas for every chunk and g, `MOST_COPIES` at most. Within `loops` a layer that would
have more is a loop over its chunks instead (`torch._higher_order_ops.scan`, in ONNX ``Scan``), which runtimes take, but
not tools that rewrite modules.

Source: Romero et al., ICML 2020, §4-5, https://arxiv.org/abs/2002.03830. Deviations: none in values.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.chunking import fitting
from attentive_gconv.functional.definition.group_convolution import group_conv2d_definition
from attentive_gconv.functional.gating import channel_logits, position_statistics
from attentive_gconv.functional.geometry import output_size
from attentive_gconv.functional.operands import FullAttentionWeights

# the batch for which a chunk fits the budget: in an exported graph the batch is not known
NOMINAL_BATCH = 64
# outputs that a vector holds: smaller chunks take longer for each output
VECTOR = 8
# from here on oneDNN's grouped convolution is quicker with channels last, copying included: on an AVX-512 processor 1.7
# against 5.0 ns for a value of f~ with 96 channels, but 2.6 against 1.4 ns with 48
MANY_CHANNELS = 64
# copies of the formulas are up to 1.5 times as quick as a loop, in onnxruntime, which prepares constant weights
MOST_COPIES = 64

_loops: ContextVar[bool] = ContextVar("loops", default=False)


@contextmanager
def loops() -> Iterator[None]:
    """Let full attention be exported as loops, see above."""
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
        memory_budget: bytes for f~ and α_C·f~ of a chunk at `NOMINAL_BATCH` images. Chunks are larger where they would
            have less than `VECTOR` outputs or, but in loops, be more than `MOST_COPIES`.

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
    width = _chunk_width(outputs.numel(), order, bytes_each, memory_budget)
    chunked = [
        None if weight is None else _in_chunks(weight, width, axis)
        for weight, axis in zip(weights.tensors(), (2, 3, 3, 2), strict=True)
    ]

    def chunk(x: Tensor, *operands: Any) -> list[Tensor]:
        """x for the next chunk, as loops must not return what they are given, and Σ_g α_X·V ``(B, M, Y', X')``."""
        *there, batch = operands
        parts = [None if weight is None else there.pop(0) for weight in chunked]
        poses = [
            _attended_sum(x[:, :, g], batch, weights, [None if part is None else part[g] for part in parts])
            for g in range(order)
        ]
        return [x.clone(), sum(poses[1:], poses[0])]

    found = _stacked(chunk, x, [weight for weight in chunked if weight is not None])
    total = weights.combination.attended * found.transpose(0, 1).flatten(1, 2).unflatten(1, outputs)
    if weights.combination.skip:
        plain = group_conv2d_definition(x, weights.kernel, None, weights.stride, weights.padding, weights.dilation)
        total = total + weights.combination.skip * plain
    return weights.scale * total


def _chunk_width(count: int, order: int, bytes_each: int, budget: int) -> int:
    """Outputs of a chunk: a divisor of their number, so that all chunks have the same shapes."""
    fits = max(VECTOR, fitting(count, bytes_each, budget))
    divisors = [width for width in range(1, count + 1) if count % width == 0]
    width = max(width for width in divisors if width <= fits)
    if not _loops.get():
        width = max(width, next((w for w in divisors if count // w * order <= MOST_COPIES), count))
    return width


def _in_chunks(weight: Tensor, width: int, axis: int) -> Tensor:
    """``(O, |H|, ...)`` with |H'| at ``axis`` of the flattened weight: ``(chunks, |H'|, M, ...)``."""
    return weight.flatten(0, 1).movedim(axis, 0).unflatten(1, (-1, width)).transpose(0, 1).contiguous()


def _stacked(chunk: Callable[..., list[Tensor]], x: Tensor, parts: list[Tensor]) -> Tensor:
    """The results of all chunks, on a new first axis."""
    if _loops.get() and parts[0].shape[:2].numel() > MOST_COPIES:
        # the loop carries x from chunk to chunk: onnxruntime crashes if a body takes a quantized map from outside
        found: Tensor = torch.ops.higher_order.scan(chunk, [x], parts, (x.shape[0],))[1]
        return found
    return torch.stack([chunk(x, *each, x.shape[0])[1] for each in zip(*parts, strict=True)])


def _attended_sum(
    x: Tensor,
    batch: int,
    weights: FullAttentionWeights,
    parts: Sequence[Tensor | None],
) -> Tensor:
    """α_X·V of a chunk, ``(B, M, Y', X')``, for one input pose.

    Args:
        x: ``(B, C, Y, X)``.
        batch: B, in an exported graph a symbol, which a loop has to be given.
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
