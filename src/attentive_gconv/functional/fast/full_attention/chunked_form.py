r"""The chunked form of full attention, in standard operators: what `torch.export` records.

    out[m] = q·( s·Σ_{c,g} f~[m,c,g] + a·Σ_g α_X[m,g]·V[m,g] ),   V[m,g] = Σ_c α_C[m,c,g] f~[m,c,g]

m = (o, h) is an output channel and pose, g = h' an input pose, (s, a) the combination, (1, -1) in the paper. All (m, g)
are independent of each other, so that f~ exists for one g and one chunk of m at a time. The first sum is the plain
convolution.

The graph has no loop: there is a copy of the formulas for every chunk, `MOST_CHUNKS` at most in a layer.

Source: Romero et al., ICML 2020, §4-5, https://arxiv.org/abs/2002.03830. Deviations: none in values.
"""

from collections.abc import Iterator
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.chunking import chunks, fitting
from attentive_gconv.functional.definition.group_convolution import group_conv2d_definition
from attentive_gconv.functional.gating import channel_logits, position_statistics
from attentive_gconv.functional.geometry import output_size
from attentive_gconv.functional.operands import FullAttentionWeights

# the batch for which a chunk fits the budget: in an exported graph the batch is not known
NOMINAL_BATCH = 64
MOST_CHUNKS = 64
# convolutions are quicker with whole vectors of channels
VECTOR = 8


def attentive_conv2d_by_chunks(x: Tensor, weights: FullAttentionWeights, memory_budget: int) -> Tensor:
    """`attentive_gconv.functional.attentive_conv2d` by chunks.

    Args:
        x: ``(B, C, |H'|, Y, X)``; the chunks depend on Y and X, which are fixed in the graph.
        weights: of the layer.
        memory_budget: bytes for f~ and α_C·f~ of a chunk at `NOMINAL_BATCH` images. A layer that would then have more
            than `MOST_CHUNKS` takes larger ones.

    Example:
        >>> x, kernel = torch.randn(1, 2, 4, 5, 5), torch.randn(3, 4, 2, 4, 3, 3)
        >>> weights = FullAttentionWeights(kernel, spatial_kernel=torch.randn(3, 4, 2, 4, 7, 7))
        >>> attentive_conv2d_by_chunks(x, weights, memory_budget=1).shape
        torch.Size([1, 3, 4, 3, 3])
    """
    outputs = weights.kernel.shape[:2]
    kernel, fc1, fc2, psi = (None if w is None else w.flatten(0, 1) for w in weights.tensors())
    assert kernel is not None
    found = []
    for m in _chunks(x, weights, memory_budget):
        attended = [
            _attended_sum(x[:, :, g], weights, kernel[m, :, g], *_of_pose((fc1, fc2, psi), m, g))
            for g in range(x.shape[2])
        ]
        found.append(sum(attended[1:], attended[0]))
    total = weights.combination.attended * torch.cat(found, 1).unflatten(1, outputs)
    if weights.combination.skip:
        plain = group_conv2d_definition(x, weights.kernel, None, weights.stride, weights.padding, weights.dilation)
        total = total + weights.combination.skip * plain
    return weights.scale * total


def _chunks(x: Tensor, weights: FullAttentionWeights, budget: int) -> Iterator[slice]:
    """Ranges of m."""
    out_channels, order, channels, depth = weights.kernel.shape[:4]
    side = weights.kernel.shape[-1]
    rows, columns = output_size((int(x.shape[-2]), int(x.shape[-1])), (side, side), *weights.sides())
    count = out_channels * order
    width = fitting(count, 2 * NOMINAL_BATCH * channels * rows * columns * x.element_size(), budget)
    width = max(width, ceil(count / max(1, MOST_CHUNKS // depth)))
    return chunks(count, width if width < VECTOR else width - width % VECTOR)


def _of_pose(gates: tuple[Tensor | None, ...], m: slice, g: int) -> Iterator[Tensor | None]:
    """W1 ``(M, R, C)``, W2 ``(M, C, R)`` and ψ_X ``(M, 2, a, a)`` of a chunk and an input pose."""
    for weight, axis in zip(gates, (3, 3, 2), strict=True):
        yield None if weight is None else weight[m].select(axis, g)


def _attended_sum(
    x: Tensor, weights: FullAttentionWeights, kernel: Tensor, fc1: Tensor | None, fc2: Tensor | None, psi: Tensor | None
) -> Tensor:
    """α_X·V of a chunk, ``(B, M, Y', X')``, for one input pose ``x (B, C, Y, X)`` and ``kernel (M, C, k, k)``."""
    count, channels = kernel.shape[:2]
    filters = kernel.transpose(0, 1).flatten(0, 1).unsqueeze(1)
    planes = F.conv2d(x, filters, None, weights.stride, weights.padding, weights.dilation, groups=channels)
    attended: Tensor = planes.unflatten(1, (channels, count))
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
