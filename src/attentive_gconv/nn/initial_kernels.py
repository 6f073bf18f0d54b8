r"""Initial weights of kernels: independent, or balanced over angular frequencies.

    groups of the pixel grid     w = u,  u ~ U(-s, s) independent,  s = wscale / √(C·k²)
    other groups                 w = F⁻¹ √v F u,  F the Fourier transform over the poses and around the rings

A kernel on rings (`attentive_gconv.functional.ring_filters`) is a sum of waves, with m periods around a ring and j over
the N poses of the input. Such a wave takes what turns with frequency j to what turns with frequency l = j + m, modulo N
and up to the sign. The waves are unevenly many: of 22 from a 5 x 5 kernel of C8 to l = 1, 10 come from j = 1, and four
from the invariant part j = 0, which no rotation changes. Independent weights give all the same variance; generalised He
weights give each input frequency that reaches l the same share of the response at l, and each l the same variance a
dimension:

    v(j, l) ∝ dim l / ( J(l)·n(j, l) ),    n(j, l) waves from j to l,  J(l) input frequencies with n(j, l) > 0

with the factor that leaves the weights' mean variance s²/3. So more comes from the invariant part, and a network of
such layers follows rotations between its poses better (`benchmarks/any_angle.py`). The input of a lifting layer has
j = 0 alone. 1 x 1 kernels have m = 0 alone, for which v is constant.

Sources: U(-s, s) follows Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830, and their code; generalised He
weights are Weiler, Hamprecht & Storath, "Learning Steerable Filters for Rotation Equivariant CNNs", CVPR 2018,
https://arxiv.org/abs/1711.07289, by irreducible representations as in the code of Weiler & Cesa, NeurIPS 2019,
https://arxiv.org/abs/1911.08251. Deviation: with mirrorings, representations of the same frequency count as one.
"""

import math

import torch
from torch import Tensor

from attentive_gconv.functional.ring_filters import ring_frequencies
from attentive_gconv.groups import FiniteGroup


@torch.no_grad()
def initial_kernel_(
    weight: Tensor, group: FiniteGroup, in_channels: int, kernel_size: int, wscale: float, *, over_group: bool
) -> Tensor:
    """Draw the learned weights of a layer's kernels, in place.

    Args:
        weight: ``(..., *entries)``, the entries those of `attentive_gconv.functional.kernel_transform`.
        group, kernel_size, over_group: of the layer.
        in_channels: C, of one channel group.
        wscale: factor of the bound s.

    Returns:
        The weight.

    Example:
        >>> import attentive_gconv as ag
        >>> initial_kernel_(torch.empty(5, 2, 8, 11), ag.group("c8"), 2, 5, 1.0, over_group=True).shape
        torch.Size([5, 2, 8, 11])
    """
    bound = wscale / math.sqrt(in_channels * kernel_size**2)
    weight.uniform_(-bound, bound)
    if group.is_exact or kernel_size == 1:
        return weight
    rotations, mirrorings = _by_angle(group)
    variances = wave_variances(len(rotations), kernel_size, over_group=over_group)
    if not over_group:
        return weight.copy_(_balanced(weight.unsqueeze(-2), kernel_size, variances).squeeze(-2))
    for poses in filter(None, (rotations, mirrorings)):
        weight[..., poses, :] = _balanced(weight[..., poses, :], kernel_size, variances)
    return weight


def wave_variances(rotations: int, kernel_size: int, *, over_group: bool) -> Tensor:
    """v, the variance of each wave for weights of mean variance 1.

    Args:
        rotations: N.
        kernel_size: the side k.
        over_group: whether the kernel has a group axis.

    Returns:
        float64 ``(N, M + 1)`` by j and m, M the highest frequency on a ring; without a group axis ``(1, M + 1)``.

    Example:
        >>> wave_variances(8, 3, over_group=False)
        tensor([[0.6000, 1.2000, 1.2000]], dtype=torch.float64)
    """
    rings = [highest for _, highest in ring_frequencies(kernel_size)]
    m = torch.arange(max(rings) + 1, device="cpu")
    j = torch.arange(rotations if over_group else 1, device="cpu")[:, None]
    # real dimensions: cosine and sine, but for the constants
    functions = torch.tensor([sum(f <= highest for highest in rings) * (2 if f else 1) for f in m], device="cpu")
    from_j, to_l = _absolute(j, rotations).expand(len(j), len(m)), _absolute(j + m, rotations)
    waves = torch.zeros(rotations, rotations, dtype=torch.float64, device="cpu")
    waves.index_put_((from_j, to_l), functions.double().expand_as(to_l), accumulate=True)
    reached = waves > 0
    frequency = torch.arange(rotations, dtype=torch.float64, device="cpu")
    dimension = 2 - (_absolute(2 * frequency, rotations) == 0).double()
    share = torch.where(reached, dimension / reached.sum(0).clamp(min=1), 0.0)
    variances = share / waves.clamp(min=1) * (waves.sum() / share.sum())
    return variances[from_j, to_l]


def _absolute(frequency: Tensor, rotations: int) -> Tensor:
    """|j| modulo N: at most N / 2."""
    return torch.minimum(frequency % rotations, -frequency % rotations)


def _balanced(weight: Tensor, kernel_size: int, variances: Tensor) -> Tensor:
    """F⁻¹ √v F w, w ``(..., poses, P)`` with the poses in the order of their angles."""
    columns = []
    for _, highest in ring_frequencies(kernel_size):
        columns += [(0, [1]), *((m, [1, -1j]) for m in range(1, highest + 1))]
    # a cos mθ + b sin mθ is the real part of (a - ib)·exp(imθ)
    blocks = [torch.tensor(block, dtype=torch.complex128, device="cpu").unsqueeze(1) for _, block in columns]
    real = weight.to(torch.promote_types(weight.dtype, torch.float32))
    waves = torch.block_diag(*blocks).to(real.device, real.dtype.to_complex())
    deviations = variances.sqrt()[:, [m for m, _ in columns]].to(real)
    spectrum = torch.fft.fft(real.to(waves.dtype) @ waves, dim=-2) * deviations
    return (torch.fft.ifft(spectrum, dim=-2) @ waves.mH).real.to(weight.dtype)


def _by_angle(group: FiniteGroup) -> tuple[list[int], list[int]]:
    """The rotations in the order of their angles, and the mirrored ones, which turn the other way, in the reverse."""
    angles: tuple[dict[int, float], dict[int, float]] = ({}, {})
    for h, ((a, b), (c, d)) in enumerate(group.matrices):
        mirrored = a * d - b * c < 0
        angle = math.atan2(c, -a if mirrored else a)
        angles[mirrored][h] = -angle if mirrored else angle
    rotations, mirrorings = (sorted(found, key=found.__getitem__) for found in angles)
    return rotations, mirrorings
