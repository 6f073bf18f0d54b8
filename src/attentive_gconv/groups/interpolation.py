r"""Rotation and mirroring of planes by any angle: cubic interpolation about the centre.

    (L_M f)(p) = f(M⁻¹p) ≈ Σ_{t ∈ Z²} k(t_y - s_y)·k(t_x - s_x)·f(t),   s = M⁻¹p,   zero outside the plane

k is Keys' kernel with a = -1/2, four pixels wide on each axis. It is exact for quadratic functions, linear in f, and so
differentiable as often as one likes. It is no permutation: details below some two pixels are damped, and the products
L_A L_B and L_AB differ by the interpolation. What leaves the frame is lost.

Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981,
https://doi.org/10.1109/TASSP.1981.1163711.
"""

from functools import lru_cache

import torch
from torch import Tensor

Matrix = tuple[tuple[float, float], tuple[float, float]]


def move_plane(x: Tensor, matrix: Matrix) -> Tensor:
    """Transform planes by an orthogonal matrix, about their centre.

    Args:
        x: ``(..., Y, X)``, of a floating-point dtype.
        matrix: on centred (y, x).

    Returns:
        ``(..., Y, X)``.

    Raises:
        TypeError: if x holds integers.

    Example:
        >>> half = 0.5**0.5
        >>> dot = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
        >>> move_plane(dot, ((half, -half), (half, half)))[1, 1].item()
        1.0
    """
    if not (x.is_floating_point() or x.is_complex()):
        raise TypeError(
            f"x has dtype {x.dtype}: an element that does not map the pixel grid to itself interpolates and needs "
            "floating-point values; convert them, as with x.float()"
        )
    places, weights = _taps(matrix, x.shape[-2], x.shape[-1])
    places, weights = places.to(x.device), weights.to(x.device, x.dtype)
    pixels = x.flatten(-2)
    moved = torch.zeros_like(pixels)
    for place, weight in zip(places, weights, strict=True):  # one tap at a time: no copy of 16 planes
        moved = moved + weight * pixels.index_select(-1, place)
    return moved.view(x.shape)


@lru_cache(128)
def _taps(matrix: Matrix, height: int, width: int) -> tuple[Tensor, Tensor]:
    """For each of 16 taps and each pixel the pixel it reads, int64 ``(16, Y·X)``, and its weight, float64."""
    (a, b), (c, d) = matrix
    centre = ((height - 1) / 2, (width - 1) / 2)
    # device="cpu" also under torch.device("meta")
    y, x = (
        torch.arange(side, dtype=torch.float64, device="cpu") - middle
        for side, middle in zip((height, width), centre, strict=True)
    )
    # the inverse of an orthogonal matrix is its transpose
    source_y = a * y[:, None] + c * x + centre[0]
    source_x = b * y[:, None] + d * x + centre[1]
    rows, row_weights = _four_taps(source_y.flatten(), height)
    columns, column_weights = _four_taps(source_x.flatten(), width)
    places = rows[:, None] * width + columns
    return places.flatten(0, 1), (row_weights[:, None] * column_weights).flatten(0, 1)


def _four_taps(position: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Along one axis the four pixels around each position and their weights, zero for those outside."""
    # a position within rounding of a pixel is that pixel
    rounded = position.round()
    position = torch.where((position - rounded).abs() < 1e-9, rounded, position)
    pixels = position.floor() + torch.arange(-1, 3, dtype=torch.float64, device="cpu")[:, None]
    distance = (pixels - position).abs()
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weight = torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))
    inside = (pixels >= 0) & (pixels < side)
    return pixels.clamp(0, side - 1).long(), weight * inside
