r"""The attentive group convolution with full attention, as defined.

    f~[b,o,h,c,h'] = x[b,c,h'] ⋆ (L_h ψ)[o,c,h']                        the response, not yet summed
    α_C = σ( W2·relu(W1·mean f~) + W2·relu(W1·max f~) )                 mean and max over positions
    u   = α_C f~
    α_X = σ( Σ_s s ⋆ (L_h ψ_X)[o,s,h'] ),  s in {mean, max} of u over c
    out[b,o,h] = q Σ_{c,h'} (1 - α_X α_C) f~

W1, W2 and ψ_X come in transformed, W[o,h] = (L_h W)[o]: the map is then equivariant, A[L_g f](g~) = A[f](g⁻¹g~), which
by the paper's theorem is what the whole operation needs. A lifting layer is the same with |H'| = 1.

Source: Romero, Bekkers, Tomczak, Hoogendoorn, ICML 2020, §4-5, https://arxiv.org/abs/2002.03830.
Deviations: none in values. The paper's |H|-fold quadrature weight is handed in as `scale`, so that attention that
suppresses nothing gives the plain group convolution for every group.

This form holds f~ and tensors of its size, ``B·O·|H|·C·|H'|·Y·X`` numbers each. It is the definition against which
faster forms are tested.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.chunking import DEFAULT_BUDGET
from attentive_gconv.functional.gating import SUPPRESS, Combination, channel_statistics, position_statistics
from attentive_gconv.functional.geometry import Pair


class AttentionMaps(NamedTuple):
    """The maps of one full-attention layer; None where the layer has no such part.

    channel: ``(B, O, |H|, C, |H'|, 1, 1)``; spatial: ``(B, O, |H|, 1, |H'|, Y, X)``.
    """

    channel: Tensor | None
    spatial: Tensor | None


def separate_responses(
    x: Tensor, kernel: Tensor, stride: int | Pair = 1, padding: int | Pair = 0, dilation: int | Pair = 1
) -> Tensor:
    """f~: the responses of a group convolution before they are summed over c and h'.

    Args:
        x: ``(B, C, |H'|, Y, X)``.
        kernel: transformed, ``(O, |H|, C, |H'|, k, k)``.
        stride, padding, dilation: as in `torch.nn.functional.conv2d`.

    Returns:
        ``(B, O, |H|, C, |H'|, Y', X')``.
    """
    out_channels, order, in_channels, depth = kernel.shape[:4]
    # one channel group for each (c, h'), with all (o, h) as its filters
    filters = kernel.permute(2, 3, 0, 1, 4, 5).flatten(0, 3).unsqueeze(1)
    planes = F.conv2d(x.flatten(1, 2), filters, None, stride, padding, dilation, groups=in_channels * depth)
    return planes.unflatten(1, (in_channels, depth, out_channels, order)).permute(0, 3, 4, 1, 2, 5, 6)


def channel_attention_map(statistics: list[Tensor], fc1: Tensor, fc2: Tensor) -> Tensor:
    """α_C of full attention: a two-layer gate over c, for every o, h, h' its own.

    Args:
        statistics: each ``(B, O, |H|, C, |H'|)``.
        fc1: transformed, ``(O, |H|, R, C, |H'|)``.
        fc2: transformed, ``(O, |H|, C, R, |H'|)``.

    Returns:
        ``(B, O, |H|, C, |H'|)``.
    """
    hidden = [torch.relu(torch.einsum("ohrcg,bohcg->bohrg", fc1, s)) for s in statistics]
    # W2 is linear: one product for the sum of the branches
    return torch.sigmoid(torch.einsum("ohcrg,bohrg->bohcg", fc2, sum(hidden[1:], hidden[0])))


def spatial_attention_map(statistics: Tensor, kernel: Tensor, dilation: int = 1) -> Tensor:
    """α_X of full attention: a convolution of the statistics, for every o, h, h' its own.

    Args:
        statistics: ``(B, O, |H|, S, |H'|, Y, X)``.
        kernel: transformed, ``(O, |H|, S, |H'|, a, a)``, a odd.
        dilation: of the kernel; the padding keeps the size.

    Returns:
        ``(B, O, |H|, |H'|, Y, X)``.
    """
    o, h, s, g, side, _ = kernel.shape
    planes = statistics.transpose(3, 4).flatten(1, 4)
    filters = kernel.transpose(2, 3).reshape(o * h * g, s, side, side)
    logits = F.conv2d(planes, filters, padding=dilation * (side // 2), dilation=dilation, groups=o * h * g)
    return torch.sigmoid(logits).unflatten(1, (o, h, g))


def attention_maps_definition(
    responses: Tensor,
    fc1: Tensor | None = None,
    fc2: Tensor | None = None,
    spatial_kernel: Tensor | None = None,
    spatial_dilation: int = 1,
) -> AttentionMaps:
    """α_C and α_X of the responses f~ of `separate_responses`; arguments as in `attentive_conv2d_definition`."""
    channel = spatial = None
    attended = responses
    if fc1 is not None and fc2 is not None:
        channel = channel_attention_map(position_statistics(responses), fc1, fc2)[..., None, None]
        attended = channel * responses
    if spatial_kernel is not None:
        statistics = channel_statistics(attended, dim=3)
        spatial = spatial_attention_map(statistics, spatial_kernel, spatial_dilation).unsqueeze(3)
    return AttentionMaps(channel, spatial)


def attention_maps_in_chunks(
    x: Tensor,
    kernel: Tensor,
    fc1: Tensor | None = None,
    fc2: Tensor | None = None,
    spatial_kernel: Tensor | None = None,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    spatial_dilation: int = 1,
    memory_budget: int = DEFAULT_BUDGET,
) -> Iterator[tuple[slice, slice, AttentionMaps]]:
    """α_C and α_X piece by piece, so that f~ is never there as a whole: no output channel needs another's.

    Args:
        x, kernel, fc1, fc2, spatial_kernel, stride, padding, dilation, spatial_dilation: as in
            `attentive_conv2d_definition`.
        memory_budget: bytes of working memory for a piece; one output channel of one image is the least.

    Yields:
        The images and the output channels of a piece, and their maps.
    """
    pairs = [(value, value) if isinstance(value, int) else value for value in (stride, padding, dilation)]
    sides = [
        (side + 2 * pad - spread * (kernel.shape[-1] - 1) - 1) // step + 1
        for side, step, pad, spread in zip(x.shape[-2:], *pairs, strict=True)
    ]
    # f~, the attended f~, and what is made of them on the way
    bytes_per_output = 3 * kernel[0, ..., 0, 0].numel() * sides[0] * sides[1] * x.element_size()
    fitting = max(1, memory_budget // max(1, bytes_per_output))
    outputs = min(fitting, len(kernel))
    images = max(1, fitting // len(kernel))
    for first_image in range(0, len(x), images):
        for first_output in range(0, len(kernel), outputs):
            b, o = slice(first_image, first_image + images), slice(first_output, first_output + outputs)
            gate1, gate2, psi = (None if weight is None else weight[o] for weight in (fc1, fc2, spatial_kernel))
            responses = separate_responses(x[b], kernel[o], stride, padding, dilation)
            yield b, o, attention_maps_definition(responses, gate1, gate2, psi, spatial_dilation)


def attentive_conv2d_definition(
    x: Tensor,
    kernel: Tensor,
    fc1: Tensor | None = None,
    fc2: Tensor | None = None,
    spatial_kernel: Tensor | None = None,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    spatial_dilation: int = 1,
    scale: float = 1.0,
    combination: Combination = SUPPRESS,
) -> Tensor:
    """The attentive convolution, as its definition reads.

    Args:
        x: ``(B, C, |H'|, Y, X)``; |H'| is 1 in a lifting layer.
        kernel: transformed, ``(O, |H|, C, |H'|, k, k)``.
        fc1, fc2: transformed gate of the channel attention, ``(O, |H|, R, C, |H'|)`` and ``(O, |H|, C, R, |H'|)``; None
            for none.
        spatial_kernel: transformed, ``(O, |H|, 2, |H'|, a, a)``; None for none.
        stride, padding, dilation: of the convolution.
        spatial_dilation: of the spatial attention.
        scale: the quadrature weight q.
        combination: how the product of the maps acts on f~; the paper's is ``(1 - α) f~``.

    Returns:
        ``(B, O, |H|, Y', X')``.

    Example:
        >>> import torch
        >>> x, kernel = torch.randn(1, 2, 4, 5, 5), torch.randn(3, 4, 2, 4, 3, 3)
        >>> attentive_conv2d_definition(x, kernel, spatial_kernel=torch.randn(3, 4, 2, 4, 7, 7)).shape
        torch.Size([1, 3, 4, 3, 3])
    """
    responses = separate_responses(x, kernel, stride, padding, dilation)
    maps = attention_maps_definition(responses, fc1, fc2, spatial_kernel, spatial_dilation)
    factors = [alpha for alpha in (maps.spatial, maps.channel) if alpha is not None]
    if not factors:
        raise ValueError("full attention needs a channel gate (fc1 and fc2), a spatial_kernel, or both; got neither")
    alpha = factors[0] if len(factors) == 1 else factors[0] * factors[1]
    return scale * combination.mix(responses, alpha * responses).sum((3, 4))
