"""The formulas of the paper in plain loops: an oracle that shares no code, table or convention with the library.

An element of p4 or p4m is a number; what it does is written with `torch.rot90` and `flip`, and products are found by
doing: the product of i and j is the element that moves an image like i after j.
"""

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

ORDER = {"z2": 1, "p4": 4, "p4m": 8}
QUADRATURE = {"z2": 1.0, "p4": 2 * math.pi / 4, "p4m": 2 * 2 * math.pi / 4}


def move(h: int, x: Tensor) -> Tensor:
    """L_h on planes: rotate by h·90°; from 4 on, flip the Y axis afterwards."""
    turned = torch.rot90(x, h % 4, (-2, -1))
    return turned.flip(-2) if h >= 4 else turned


@functools.cache
def product(name: str, i: int, j: int) -> int:
    image = torch.arange(9).view(3, 3)
    moved = move(i, move(j, image))
    return next(k for k in range(ORDER[name]) if torch.equal(move(k, image), moved))


@functools.cache
def relative(name: str, h: int, other: int) -> int:
    """h⁻¹h': the element k with h·k = h'."""
    return next(k for k in range(ORDER[name]) if product(name, h, k) == other)


def act(name: str, h: int, f: Tensor) -> Tensor:
    """(L_h f)(x, h') = f(h⁻¹x, h⁻¹h') on maps (..., |H|, Y, X)."""
    return torch.stack([move(h, f[..., relative(name, h, other), :, :]) for other in range(ORDER[name])], -3)


def correlate(planes: Tensor, kernel: Tensor, **geometry: int | tuple[int, int]) -> Tensor:
    """One plane (B, Y, X) with one kernel (k, k)."""
    return F.conv2d(planes[:, None], kernel[None, None], **geometry)[:, 0]


def table(entry: Callable[[int, int], Tensor], channels: int, order: int) -> Tensor:
    """(B, O, |H|, ...) from a function of o and h."""
    return torch.stack([torch.stack([entry(o, h) for h in range(order)], 1) for o in range(channels)], 1)


def lifting_conv(name: str, x: Tensor, weight: Tensor, **geometry: int | tuple[int, int]) -> Tensor:
    """out[b,o,h] = Σ_c x[b,c] ⋆ L_h ψ[o,c]."""
    return full_lifting(name, x, weight, attend=False, **geometry)


def group_conv(name: str, x: Tensor, weight: Tensor, **geometry: int | tuple[int, int]) -> Tensor:
    """out[b,o,h] = q Σ_{c,h'} x[b,c,h'] ⋆ (L_h ψ)[o,c,h']."""
    return full_group(name, x, weight, attend=False, **geometry)


def suppressed(f: Tensor, fc1: Tensor | None, fc2: Tensor | None, psi: Tensor | None, dilation: int) -> Tensor:
    """(1 - α_X α_C) f for one o, h and h': f (B, C, Y, X), W1 (R, C), W2 (C, R), ψ_X (2, k, k)."""
    alpha_c = alpha_x = torch.ones(())
    if fc1 is not None and fc2 is not None:
        mean, peak = f.mean((-2, -1)), f.amax((-2, -1))
        alpha_c = torch.sigmoid(F.relu(mean @ fc1.T) @ fc2.T + F.relu(peak @ fc1.T) @ fc2.T)[..., None, None]
    if psi is not None:
        u = alpha_c * f
        statistics = torch.stack([u.mean(1), u.amax(1)], 1)
        alpha_x = torch.sigmoid(
            F.conv2d(statistics, psi[None], padding=dilation * (psi.shape[-1] // 2), dilation=dilation)
        )
    return f - alpha_x * alpha_c * f


def full_lifting(
    name: str,
    x: Tensor,
    weight: Tensor,
    fc1: Tensor | None = None,
    fc2: Tensor | None = None,
    psi: Tensor | None = None,
    spatial_dilation: int = 1,
    *,
    attend: bool = True,
    **geometry: int | tuple[int, int],
) -> Tensor:
    """Σ_c (1 - α_X α_C) f~, f~[b,o,h,c] = x[b,c] ⋆ L_h ψ[o,c]; without attention the plain lifting convolution."""

    def entry(o: int, h: int) -> Tensor:
        f = torch.stack([correlate(x[:, c], move(h, weight[o, c]), **geometry) for c in range(x.shape[1])], 1)
        if attend:
            gate = (None, None) if fc1 is None or fc2 is None else (fc1[o], fc2[o])
            f = suppressed(f, *gate, None if psi is None else move(h, psi[o]), spatial_dilation)
        return f.sum(1)

    return table(entry, len(weight), ORDER[name])


def full_group(
    name: str,
    x: Tensor,
    weight: Tensor,
    fc1: Tensor | None = None,
    fc2: Tensor | None = None,
    psi: Tensor | None = None,
    spatial_dilation: int = 1,
    *,
    attend: bool = True,
    **geometry: int | tuple[int, int],
) -> Tensor:
    """q Σ_{c,h'} (1 - α_X α_C) f~, f~[b,o,h,c,h'] = x[b,c,h'] ⋆ (L_h ψ)[o,c,h']; every weight at h⁻¹h'."""

    def entry(o: int, h: int) -> Tensor:
        total = torch.zeros(())
        for other in range(ORDER[name]):
            g = relative(name, h, other)
            planes = [correlate(x[:, c, other], move(h, weight[o, c, g]), **geometry) for c in range(x.shape[1])]
            f = torch.stack(planes, 1)
            if attend:
                gate = (None, None) if fc1 is None or fc2 is None else (fc1[o, ..., g], fc2[o, ..., g])
                f = suppressed(f, *gate, None if psi is None else move(h, psi[o, :, g]), spatial_dilation)
            total = total + f.sum(1)
        return QUADRATURE[name] * total

    return table(entry, len(weight), ORDER[name])


def input_lifting(
    name: str,
    x: Tensor,
    fc1: Tensor | None = None,
    fc2: Tensor | None = None,
    psi: Tensor | None = None,
    spatial_dilation: int = 1,
    *,
    statistics: bool = True,
) -> Tensor:
    """x - α_X·(α_C·x) for planar x: an ordinary gate, and the maximum over h of lifted statistics."""
    attended = x
    if fc1 is not None and fc2 is not None:
        mean, peak = x.mean((-2, -1)), x.amax((-2, -1))
        logits = F.relu(mean @ fc1.T) @ fc2.T + F.relu(peak @ fc1.T) @ fc2.T
        attended = torch.sigmoid(logits)[..., None, None] * attended
    if psi is not None:
        seen = torch.stack([attended.mean(1), attended.amax(1)], 1) if statistics else attended
        padding = spatial_dilation * (psi.shape[-1] // 2)
        logits = lifting_conv(name, seen, psi, padding=padding, dilation=spatial_dilation)
        attended = torch.sigmoid(logits.amax(2)) * attended
    return x - attended


def input_group(
    name: str,
    x: Tensor,
    fc1: Tensor | None = None,
    fc2: Tensor | None = None,
    psi: Tensor | None = None,
    spatial_dilation: int = 1,
    *,
    statistics: bool = True,
) -> Tensor:
    """x - α_X·(α_C·x) for x on the group: a gate of two 1x1 group convolutions, and a group convolution 2 → 1."""
    attended = x
    if fc1 is not None and fc2 is not None:
        branches = [F.relu(_mix(name, s, fc1)) for s in (x.mean((-2, -1)), x.amax((-2, -1)))]
        logits = sum(_mix(name, branch, fc2) for branch in branches)
        attended = torch.sigmoid(logits)[..., None, None] * attended
    if psi is not None:
        seen = torch.stack([attended.mean(1), attended.amax(1)], 1) if statistics else attended
        padding = spatial_dilation * (psi.shape[-1] // 2)
        attended = torch.sigmoid(group_conv(name, seen, psi, padding=padding, dilation=spatial_dilation)) * attended
    return x - attended


def _mix(name: str, s: Tensor, weight: Tensor) -> Tensor:
    """Σ_{c,h'} W[o,c,h⁻¹h'] s[b,c,h']: (B, C, |H|) -> (B, O, |H|)."""

    def entry(o: int, h: int) -> Tensor:
        return sum(s[..., other] @ weight[o, :, relative(name, h, other)] for other in range(ORDER[name]))

    return table(entry, len(weight), ORDER[name])
