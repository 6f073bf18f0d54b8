r"""The attentive group convolution with full attention, as defined.

    f~[b,o,h,c,h'] = x[b,c,h'] ⋆ (L_h ψ)[o,c,h']                        the response, not yet summed
    α_C = σ( W2·relu(W1·mean f~) + W2·relu(W1·max f~) )                 mean and max over positions
    u   = α_C f~
    α_X = σ( Σ_s s ⋆ (L_h ψ_X)[o,s,h'] ),  s in {mean, max} of u over c
    out[b,o,h] = q Σ_{c,h'} (1 - α_X α_C) f~

W1, W2 and ψ_X are transformed weights, W[o,h] = (L_h W)[o]. The map is then equivariant, A[L_g f](g~) = A[f](g⁻¹g~),
and by the paper's theorem so is the whole operation. A lifting layer is the same with |H'| = 1.

Source: Romero, Bekkers, Tomczak, Hoogendoorn, ICML 2020, §4-5, https://arxiv.org/abs/2002.03830.
Deviations: none in values. The paper's quadrature weight is the argument `scale`, so that attention that suppresses
nothing gives the plain group convolution for every group.

This reference implementation holds f~ and tensors of its size, ``B·O·|H|·C·|H'|·Y·X`` numbers each. The fast forms are
tested against it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.chunking import DEFAULT_BUDGET, tiles
from attentive_gconv.functional.gating import channel_logits, channel_statistics, position_statistics
from attentive_gconv.functional.geometry import Pair, output_size
from attentive_gconv.functional.operands import FullAttentionWeights


class SuppressionMaps(NamedTuple):
    """The suppression maps α of one full-attention layer.

    Attributes:
        channel: α_C ``(B, O, |H|, C, |H'|, 1, 1)``; None without channel attention.
        spatial: α_X ``(B, O, |H|, 1, |H'|, Y, X)``; None without spatial attention.
    """

    channel: Tensor | None
    spatial: Tensor | None


def separate_responses(
    x: Tensor, kernel: Tensor, stride: int | Pair = 1, padding: int | Pair = 0, dilation: int | Pair = 1
) -> Tensor:
    """The separate responses f~ of a group convolution, before the sum over input channels c and poses h'.

    Args:
        x: ``(B, C, |H'|, Y, X)``.
        kernel: transformed, ``(O, |H|, C, |H'|, k, k)``.
        stride, padding, dilation: as in `torch.nn.functional.conv2d`.

    Returns:
        ``(B, O, |H|, C, |H'|, Y', X')``.

    Example:
        >>> import torch
        >>> separate_responses(torch.randn(1, 2, 4, 5, 5), torch.randn(3, 4, 2, 4, 3, 3)).shape
        torch.Size([1, 3, 4, 2, 4, 3, 3])
    """
    out_channels, order, in_channels, depth = kernel.shape[:4]
    # one channel group for each (c, h'), with all (o, h) as its filters
    filters = kernel.permute(2, 3, 0, 1, 4, 5).flatten(0, 3).unsqueeze(1)
    planes = F.conv2d(x.flatten(1, 2), filters, None, stride, padding, dilation, groups=in_channels * depth)
    responses: Tensor = planes.unflatten(1, (in_channels, depth, out_channels, order))
    return responses.permute(0, 3, 4, 1, 2, 5, 6)


def channel_suppression_map(statistics: list[Tensor], fc1: Tensor, fc2: Tensor) -> Tensor:
    """α_C of full attention: a two-layer gate over c, with separate weights for every (o, h, h').

    Args:
        statistics: each ``(B, O, |H|, C, |H'|)``.
        fc1: transformed, ``(O, |H|, R, C, |H'|)``.
        fc2: transformed, ``(O, |H|, C, R, |H'|)``.

    Returns:
        ``(B, O, |H|, C, |H'|)``.

    Example:
        >>> statistics = [torch.randn(1, 3, 4, 2, 4)] * 2
        >>> channel_suppression_map(statistics, torch.randn(3, 4, 1, 2, 4), torch.randn(3, 4, 2, 1, 4)).shape
        torch.Size([1, 3, 4, 2, 4])
    """
    logits = channel_logits(
        statistics,
        lambda s: torch.einsum("ohrcg,bohcg->bohrg", fc1, s),
        lambda hidden: torch.einsum("ohcrg,bohrg->bohcg", fc2, hidden),
    )
    return torch.sigmoid(logits)


def spatial_suppression_map(statistics: Tensor, kernel: Tensor, dilation: int = 1) -> Tensor:
    """α_X of full attention: a convolution of the statistics, with a separate kernel for every (o, h, h').

    Args:
        statistics: ``(B, O, |H|, S, |H'|, Y, X)``.
        kernel: transformed, ``(O, |H|, S, |H'|, a, a)``, a odd.
        dilation: of the kernel; the padding keeps the size.

    Returns:
        ``(B, O, |H|, |H'|, Y, X)``.

    Example:
        >>> spatial_suppression_map(torch.randn(1, 3, 4, 2, 4, 5, 5), torch.randn(3, 4, 2, 4, 7, 7)).shape
        torch.Size([1, 3, 4, 4, 5, 5])
    """
    o, h, s, g, side, _ = kernel.shape
    planes = statistics.transpose(3, 4).flatten(1, 4)
    filters = kernel.transpose(2, 3).reshape(o * h * g, s, side, side)
    logits = F.conv2d(planes, filters, padding=dilation * (side // 2), dilation=dilation, groups=o * h * g)
    alpha: Tensor = torch.sigmoid(logits).unflatten(1, (o, h, g))
    return alpha


def suppression_maps_definition(responses: Tensor, weights: FullAttentionWeights) -> SuppressionMaps:
    """α_C and α_X of full attention, from the separate responses.

    Args:
        responses: f~ ``(B, O, |H|, C, |H'|, Y', X')``, as `separate_responses` gives them.
        weights: of the layer.

    Example:
        >>> import torch
        >>> kernel, psi = torch.randn(3, 4, 2, 4, 3, 3), torch.randn(3, 4, 2, 4, 7, 7)
        >>> responses = separate_responses(torch.randn(1, 2, 4, 5, 5), kernel)
        >>> suppression_maps_definition(responses, FullAttentionWeights(kernel, spatial_kernel=psi)).spatial.shape
        torch.Size([1, 3, 4, 1, 4, 3, 3])
    """
    channel = spatial = None
    attended = responses
    if weights.fc1 is not None and weights.fc2 is not None:
        statistics = position_statistics(responses)
        channel = channel_suppression_map(statistics, weights.fc1, weights.fc2)[..., None, None]
        attended = channel * responses
    if weights.spatial_kernel is not None:
        seen = channel_statistics(attended, dim=3)
        spatial = spatial_suppression_map(seen, weights.spatial_kernel, weights.spatial_dilation).unsqueeze(3)
    return SuppressionMaps(channel, spatial)


def suppression_map_tiles(
    x: Tensor, weights: FullAttentionWeights, memory_budget: int = DEFAULT_BUDGET
) -> Iterator[tuple[slice, slice, SuppressionMaps]]:
    """α_C and α_X in tiles of samples and output channels, without the whole f~.

    Args:
        x: ``(B, C, |H'|, Y, X)``.
        weights: of the layer.
        memory_budget: bytes of working memory for a tile, which is one output channel of one sample at least.

    Yields:
        The samples and the output channels of a tile, and their maps.

    Raises:
        ValueError: if x does not fit the weights or is not real.

    Example:
        >>> kernel, psi = torch.randn(3, 4, 2, 4, 3, 3), torch.randn(3, 4, 2, 4, 7, 7)
        >>> weights = FullAttentionWeights(kernel, spatial_kernel=psi)
        >>> [(b, o) for b, o, _ in suppression_map_tiles(torch.randn(1, 2, 4, 5, 5), weights)]
        [(slice(0, 1, None), slice(0, 3, None))]
    """
    weights.check("suppression_map_tiles", x)
    kernel, sides = weights.kernel, weights.sides()
    rows, columns = output_size((x.shape[-2], x.shape[-1]), (kernel.shape[-2], kernel.shape[-1]), *sides)
    # f~, the attended f~, and their statistics
    bytes_per_output = 3 * kernel[0, ..., 0, 0].numel() * rows * columns * x.element_size()
    for b, o in tiles(len(x), len(kernel), bytes_per_output, memory_budget):
        chunk = weights.outputs(o)
        yield b, o, suppression_maps_definition(separate_responses(x[b], chunk.kernel, *sides), chunk)


def attentive_conv2d_definition(x: Tensor, weights: FullAttentionWeights) -> Tensor:
    """`attentive_gconv.functional.attentive_conv2d` by its definition; the arguments are the same.

    Example:
        >>> import torch
        >>> x, kernel = torch.randn(1, 2, 4, 5, 5), torch.randn(3, 4, 2, 4, 3, 3)
        >>> weights = FullAttentionWeights(kernel, spatial_kernel=torch.randn(3, 4, 2, 4, 7, 7))
        >>> attentive_conv2d_definition(x, weights).shape
        torch.Size([1, 3, 4, 3, 3])
    """
    responses = separate_responses(x, weights.kernel, *weights.sides())
    maps = suppression_maps_definition(responses, weights)
    factors = [alpha for alpha in (maps.spatial, maps.channel) if alpha is not None]
    alpha = factors[0] if len(factors) == 1 else factors[0] * factors[1]
    return weights.scale * weights.combination.mix(responses, alpha * responses).sum((3, 4))
