r"""Rotation and mirroring of planes by any angle: cubic interpolation about the centre.

    (L_M f)(p) = f(M⁻¹p) ≈ Σ_{t ∈ Z²} k(t_y - s_y)·k(t_x - s_x)·f(t),   s = M⁻¹p,   zero outside the plane

k is Keys' kernel with a = -1/2, four pixels wide on each axis. The interpolation is exact for quadratic functions, and
linear in f, thus differentiable to every order. It is no permutation: details finer than about two pixels are damped,
L_A L_B differs from L_AB, and pixels that leave the frame are lost.

Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981,
https://doi.org/10.1109/TASSP.1981.1163711.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

Matrix = tuple[tuple[float, float], tuple[float, float]]


def move_plane(x: Tensor, matrix: Matrix) -> Tensor:
    """Transform planes by an orthogonal matrix, about their centre.

    Args:
        x: ``(..., Y, X)``, of a floating-point dtype.
        matrix: acts on centred (y, x).

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
    indices, weights = (torch.from_numpy(table) for table in _taps(matrix, x.shape[-2], x.shape[-1]))
    indices, weights = indices.to(x.device), weights.to(x.device, x.dtype)
    pixels = x.flatten(-2)
    moved = torch.zeros_like(pixels)
    for index, weight in zip(indices, weights, strict=True):  # one tap at a time: no copy of 16 planes
        moved = moved + weight * pixels.index_select(-1, index)
    return moved.view(x.shape)


def inscribed_disc(height: int, width: int, margin: float = 0.0, device: torch.device | str = "cpu") -> Tensor:
    """The pixels that stay within a plane under every rotation, and a margin away from its border.

    Args:
        height, width: of the plane, in pixels.
        margin: in pixels.
        device: of the result.

    Returns:
        bool ``(height, width)``.

    Example:
        >>> inscribed_disc(3, 3).int()
        tensor([[0, 1, 0],
                [1, 1, 1],
                [0, 1, 0]], dtype=torch.int32)
    """
    y, x = (torch.arange(side, dtype=torch.float64, device=device) - (side - 1) / 2 for side in (height, width))
    return y[:, None] ** 2 + x**2 <= ((min(height, width) - 1) / 2 - margin) ** 2 + 1e-9


# arrays, not tensors: a tensor made in inference mode, or under a fake-tensor mode, could not be used outside of it
@lru_cache(128)
def _taps(matrix: Matrix, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of 16 taps and each pixel the pixel it reads, int64 ``(16, Y·X)``, and its weight, float64."""
    (a, b), (c, d) = matrix
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    y, x = np.arange(height)[:, None] - centre_y, np.arange(width) - centre_x
    # the inverse of an orthogonal matrix is its transpose
    rows, row_weights = _four_taps((a * y + c * x + centre_y).ravel(), height)
    columns, column_weights = _four_taps((b * y + d * x + centre_x).ravel(), width)
    indices = rows[:, None] * width + columns
    return indices.reshape(16, -1), (row_weights[:, None] * column_weights).reshape(16, -1)


def _four_taps(position: np.ndarray, side: int) -> tuple[Any, Any]:
    """Along one axis the four pixels around each position and their weights, zero for those outside."""
    # a position within rounding of a pixel is that pixel
    rounded = np.round(position)
    position = np.where(np.abs(position - rounded) < 1e-9, rounded, position)
    pixels = np.floor(position) + np.arange(-1.0, 3.0)[:, None]
    distance = np.abs(pixels - position)
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weight = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    inside = (pixels >= 0) & (pixels < side)
    return np.clip(pixels, 0, side - 1).astype(np.int64), weight * inside
