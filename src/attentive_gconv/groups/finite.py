r"""Finite groups of the planar grid: multiplication table, inverses, and actions on planes and on the group axis.

An element h is coded by an integer 0 … |H|-1 (0 is the identity) and by a 2x2 matrix M_h that acts on centred
pixel coordinates (y, x), y pointing down:

    (L_h f)(p)     = f(M_h⁻¹ p)                on a plane                     (`act_on_plane`)
    (L_h f)(p, h') = f(M_h⁻¹ p, h⁻¹h')         on a map on G = Z² ⋊ H         (`act`), the left regular representation

Everything else is derived from the matrices: the product of two elements is the element of the product of their
matrices. Nothing in the library special-cases a group; a new one is a new list of matrices.

Source: Cohen & Welling, "Group Equivariant Convolutional Networks", ICML 2016, https://arxiv.org/abs/1602.07576.
"""

import math
import operator
from collections.abc import Sequence

from torch import Tensor

Matrix = tuple[tuple[int, int], tuple[int, int]]
IDENTITY: Matrix = ((1, 0), (0, 1))


def _multiply(a: Matrix, b: Matrix) -> Matrix:
    (p, q), (r, s) = a
    (t, u), (v, w) = b
    return ((p * t + q * v, p * u + q * w), (r * t + s * v, r * u + s * w))


def _on_grid(name: str, index: int, matrix: Sequence[Sequence[float]]) -> Matrix:
    """The matrix with integer entries, or an error when it does not map the pixel grid to itself."""
    try:
        rows = [[float(entry) for entry in row] for row in matrix]
    except (TypeError, ValueError):
        rows = []
    if len(rows) != 2 or any(len(row) != 2 for row in rows):
        raise ValueError(f"element {index} of group {name!r} must be a 2x2 matrix of numbers, got {matrix!r}")
    magnitudes = [[abs(entry) for entry in row] for row in rows]
    if magnitudes not in ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]):
        raise ValueError(
            f"element {index} of group {name!r} has the matrix {rows}, which does not map the square pixel grid to "
            "itself, so its action would need interpolation and equivariance would no longer be exact; use "
            "rotations by multiples of 90° and mirrorings along axes or diagonals (matrices with one ±1 in each row)"
        )
    (a, b), (c, d) = ([int(entry) for entry in row] for row in rows)
    return ((a, b), (c, d))


class FiniteGroup:
    """A finite group H of exact symmetries of the pixel grid.

    Args:
        name: the name that messages, registries and files use.
        matrices: one 2x2 matrix an element, acting on centred (y, x); the identity first. The order of this list is
            the order of the group axis of every map.
        quadrature_weight: the weight q of one element in the integral over H, a factor of every group convolution.

    Attributes:
        order: |H|, the number of elements.
        matrices: the matrices as nested tuples of int.
        product_table: ``product_table[i][j]`` is the element i·j.
        inverse_table: ``inverse_table[i]`` is the element i⁻¹.

    Raises:
        ValueError: if a matrix does not map the grid to itself, or if the matrices are no group (the identity is not
            first, an element occurs twice, a product is missing).

    Example:
        >>> mirror = FiniteGroup("pm", [((1, 0), (0, 1)), ((1, 0), (0, -1))])
        >>> mirror.order, mirror.product(1, 1), mirror.inverse(1)
        (2, 0, 1)
    """

    def __init__(
        self, name: str, matrices: Sequence[Sequence[Sequence[float]]], quadrature_weight: float = 1.0
    ) -> None:
        self.name = name
        self.quadrature_weight = float(quadrature_weight)
        self.matrices: tuple[Matrix, ...] = tuple(_on_grid(name, i, matrix) for i, matrix in enumerate(matrices))
        self.order = len(self.matrices)
        if self.quadrature_weight <= 0 or not math.isfinite(self.quadrature_weight):
            raise ValueError(f"quadrature_weight (={quadrature_weight}) of group {name!r} must be positive and finite")
        if not self.matrices or self.matrices[0] != IDENTITY:
            raise ValueError(f"the first element of group {name!r} must be the identity matrix [[1, 0], [0, 1]]")
        index = {matrix: i for i, matrix in enumerate(self.matrices)}
        if len(index) != self.order:
            raise ValueError(f"group {name!r} lists an element twice: {self.matrices}")
        products = [[_multiply(a, b) for b in self.matrices] for a in self.matrices]
        for i, row in enumerate(products):
            for j, product in enumerate(row):
                if product not in index:
                    raise ValueError(
                        f"group {name!r} is not closed: the product of elements {i} and {j}, {product}, is not an "
                        "element; add it to the matrices"
                    )
        self.product_table: tuple[tuple[int, ...], ...] = tuple(tuple(index[p] for p in row) for row in products)
        # closed, finite and made of invertible matrices: every row of the table holds the identity once
        self.inverse_table: tuple[int, ...] = tuple(row.index(0) for row in self.product_table)

    def product(self, i: int, j: int) -> int:
        """The element i·j (j acts first)."""
        return self.product_table[self._element(i)][self._element(j)]

    def inverse(self, i: int) -> int:
        """The element i⁻¹."""
        return self.inverse_table[self._element(i)]

    def permutation(self, i: int) -> list[int]:
        """The action of element i on the group axis as an index: pose h' takes the value of pose i⁻¹h'."""
        return list(self.product_table[self.inverse(i)])

    def act_on_plane(self, i: int, x: Tensor) -> Tensor:
        """Transform planes by element i: an exact permutation of pixels, for even, odd and unequal sides.

        Args:
            i: the element.
            x: ``(..., Y, X)``.

        Returns:
            L_i x, ``(..., Y, X)``, or ``(..., X, Y)`` when the element swaps the axes.

        Raises:
            IndexError: if the group has no element i.
            ValueError: if x has fewer than two axes.

        Example:
            >>> import torch, attentive_gconv as ag
            >>> ag.group("p4").act_on_plane(1, torch.tensor([[1, 2], [3, 4]]))
            tensor([[2, 4],
                    [1, 3]])
        """
        if x.dim() < 2:
            raise ValueError(f"x must have the axes (..., Y, X), got shape {tuple(x.shape)}")
        (a, b), (c, d) = self.matrices[self._element(i)]
        if a == 0:  # the element swaps the axes; afterwards the signs of its rows say which axis is reversed
            x, sign_y, sign_x = x.transpose(-2, -1), b, c
        else:
            sign_y, sign_x = a, d
        flipped = [axis for axis, sign in ((-2, sign_y), (-1, sign_x)) if sign < 0]
        return x.flip(flipped) if flipped else x

    def act(self, i: int, f: Tensor) -> Tensor:
        """Transform maps on G by element i: move the grid and permute the group axis.

        Args:
            i: the element.
            f: ``(B, C, |H|, Y, X)`` (any number of axes in front of the group axis).

        Returns:
            L_i f, of the same shape, Y and X swapped when the element swaps the axes.

        Raises:
            IndexError: if the group has no element i.
            ValueError: if the third axis from the end does not have |H| entries.

        Example:
            >>> import torch, attentive_gconv as ag
            >>> ag.group("p4").act(1, torch.arange(4).view(1, 1, 4, 1, 1)).flatten()
            tensor([3, 0, 1, 2])
        """
        if f.dim() < 3 or f.shape[-3] != self.order:
            raise ValueError(
                f"f must have the axes (B, C, |H|, Y, X) with |H|={self.order} for group {self.name!r}, "
                f"got shape {tuple(f.shape)}"
            )
        return self.act_on_plane(i, f)[..., self.permutation(i), :, :]

    def element_name(self, i: int) -> str:
        """A readable name: ``"90°"``, or ``"m·90°"`` for "rotate by 90°, then mirror the Y axis"."""
        (a, b), (c, d) = self.matrices[self._element(i)]
        mirrored = a * d - b * c < 0
        cosine, sine = (-a if mirrored else a), c
        angle = round(math.degrees(math.atan2(sine, cosine))) % 360
        return f"m·{angle}°" if mirrored else f"{angle}°"

    def _element(self, i: int) -> int:
        i = operator.index(i)  # 1.5 is no element, and not to be rounded to one
        if not 0 <= i < self.order:
            raise IndexError(f"group {self.name!r} has the elements 0 to {self.order - 1}, got {i}")
        return i

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FiniteGroup) and (self.name, self.matrices, self.quadrature_weight) == (
            other.name,
            other.matrices,
            other.quadrature_weight,
        )

    def __hash__(self) -> int:
        return hash((self.name, self.matrices, self.quadrature_weight))

    def __repr__(self) -> str:
        return f"FiniteGroup({self.name!r}, order={self.order})"
