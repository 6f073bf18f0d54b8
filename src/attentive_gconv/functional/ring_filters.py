r"""Kernels that turn by any angle: circular harmonics on rings, sampled by optimal interpolation.

A kernel of a group that is not one of the pixel grid is a combination of P functions on rings around its centre,

    ψ = Σ_b w_b·φ_b,    φ(ρ, m) = δ(|x| - ρ)·cos m∠x  and  δ(|x| - ρ)·sin m∠x,     ρ = 0, 1, 2, … or ½, 1½, …

which any rotation turns exactly: by a shift of the angle. A response is an integral of the image over a ring, whose
points p lie between the pixels. The image there, slightly blurred, is estimated by a linear combination of the pixels,
so that each function, turned by M_h, becomes a kernel on the k x k offsets t of the grid:

    B_h[t, b] = Σ_t' (G⁻¹)[t, t'] · mean_p c_σ(t' - M_h p)·φ_b(p),    G[t, t'] = c_0(t - t')
    c_σ(d) ∝ exp(-|d|² / 2(1 + σ²)),    the covariance of a pixel and a point blurred by σ = 0.45

Among all estimates this one has the least mean squared error on images with the autocorrelation c_0 (kriging), so that
the turned kernel responds to a turned image as the unturned one does to the unturned image, as nearly as samples on the
grid allow. The blur removes the finest details, which they cannot represent.

The frequencies m are those that a ring of this radius can resolve: up to 2ρ, less one on even rings, and at most 2 on
the outermost. All transforms of a kernel are therefore one matrix times its P learned weights.

Source: the rings and their frequencies are those of Weiler & Cesa, "General E(2)-Equivariant Steerable CNNs", NeurIPS
2019, https://arxiv.org/abs/1911.08251, and its released code, which samples Gaussian rings instead; optimal
interpolation is Matheron, "Principles of geostatistics", 1963. Their combination is ours, chosen by measurements:
benchmarks/filter_bases.py.
"""

import math

import torch
from torch import Tensor

from attentive_gconv.groups import FiniteGroup

BLUR = 0.45  # σ in pixels; more reaches beyond the border of the kernel
POINTS = 64  # of a ring, for the mean over it: exact for all frequencies in use


def ring_frequencies(kernel_size: int) -> list[tuple[float, int]]:
    """The rings of a kernel: radius and highest frequency.

    Example:
        >>> ring_frequencies(3), ring_frequencies(4)
        ([(0.0, 0), (1.0, 2)], [(0.5, 1), (1.5, 2)])
    """
    outermost = (kernel_size - 1) / 2
    radii = [outermost - i for i in reversed(range(kernel_size // 2 + kernel_size % 2))]
    highest = [int(2 * radius) - int(radius > 0 and radius % 2 == 0) for radius in radii]
    return [
        (radius, min(2, most) if radius == outermost else most) for radius, most in zip(radii, highest, strict=True)
    ]


def filter_basis(group: FiniteGroup, kernel_size: int) -> Tensor | None:
    """The matrix that samples a kernel from its learned weights, for every element that interpolates.

    Args:
        group: the group H.
        kernel_size: the side k.

    Returns:
        float64 ``(P, R·k, k)``: for each of P functions its k x k samples turned by each of the R elements
        `FiniteGroup.representatives`, one below the other. The functions have the same norm; independent weights of
        variance 1 give samples of variance 1 on average. None where every transform is a permutation: on groups of the
        pixel grid, and for 1 x 1 kernels.

    Example:
        >>> import attentive_gconv as ag
        >>> filter_basis(ag.group("c8"), 5).shape, filter_basis(ag.group("p4"), 5)
        (torch.Size([11, 10, 5]), None)
    """
    if group.is_exact or kernel_size == 1:
        return None
    side = torch.arange(kernel_size, dtype=torch.float64, device="cpu") - (kernel_size - 1) / 2
    offsets = torch.cartesian_prod(side, side)
    angles = torch.arange(POINTS, dtype=torch.float64, device="cpu") * (2 * math.pi / POINTS)
    turned = []
    for h in group.representatives:
        matrix = torch.tensor(group.matrices[h], dtype=torch.float64, device="cpu")
        columns = []
        for radius, highest in ring_frequencies(kernel_size):
            points = radius * torch.stack((-angles.sin(), angles.cos()), 1) @ matrix.T
            columns.append(_covariance(offsets, points, BLUR) @ _waves(angles, highest) / POINTS)
        turned.append(torch.linalg.solve(_covariance(offsets, offsets), torch.cat(columns, 1)))
    samples = torch.stack(turned)  # (R, k², P)
    return _normalised(samples, kernel_size).permute(2, 0, 1).reshape(-1, len(turned) * kernel_size, kernel_size)


def _covariance(a: Tensor, b: Tensor, blur: float = 0.0) -> Tensor:
    """c(a - b) for every pair of points, up to a factor."""
    return torch.exp(-(a[:, None] - b).square().sum(-1) / (2 * (1 + blur**2)))


def _waves(angles: Tensor, highest: int) -> Tensor:
    """1, cos θ, sin θ, cos 2θ, … as columns."""
    waves = [torch.ones_like(angles)]
    for m in range(1, highest + 1):
        waves += [(m * angles).cos(), (m * angles).sin()]
    return torch.stack(waves, 1)


def _normalised(samples: Tensor, kernel_size: int) -> Tensor:
    """Scale the functions to the same norm; a cosine and its sine by one factor, so that rotations still mix them."""
    power = samples.square().sum(1).mean(0)
    shared, at = [], 0
    for _, highest in ring_frequencies(kernel_size):
        pairs = power[at + 1 : at + 1 + 2 * highest].view(-1, 2).mean(1)
        shared += [power[at : at + 1], pairs.repeat_interleave(2)]
        at += 1 + 2 * highest
    return samples * (kernel_size**2 / at / torch.cat(shared)).sqrt()
