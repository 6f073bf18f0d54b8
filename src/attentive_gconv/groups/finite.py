r"""Finite groups of the plane: multiplication table, inverses, and actions on planes and on the group axis.

An element h is coded by an integer 0 … |H|-1 (0 is the identity) and by a 2x2 matrix M_h that acts on centred
pixel coordinates (y, x), y pointing down:

    (L_h f)(p)     = f(M_h⁻¹ p)                on a plane                     (`act_on_plane`)
    (L_h f)(p, h') = f(M_h⁻¹ p, h⁻¹h')         on a map on G = Z² ⋊ H         (`act`), the left regular representation

Everything else is derived from the matrices: the product of two elements is the element of the product of their
matrices. Nothing in the library special-cases a group; a new one is a new list of matrices.

An element whose matrix maps the pixel grid to itself permutes pixels and is exact; any other one interpolates
(`attentive_gconv.groups.interpolation`), and what it does is approximate. The exact elements K form a subgroup, and
every element is h = k·r, k in K, r one of |H| / |K| representatives: the approximation is in r alone.

Source: Cohen & Welling, "Group Equivariant Convolutional Networks", ICML 2016, https://arxiv.org/abs/1602.07576.
"""

import math
import operator
import warnings
from collections.abc import Iterable, Sequence
from functools import cached_property

from torch import Tensor

from attentive_gconv.caller import stacklevel_of_caller
from attentive_gconv.groups.interpolation import Matrix, move_plane

IDENTITY: Matrix = ((1, 0), (0, 1))
# entries are compared to so many decimals: neighbouring rotations of the largest group, c360, differ by 0.017
DECIMALS = 6


class ApproximateGroupWarning(UserWarning):
    """Warning, once for each group name, that some elements of a group do not map the pixel grid to itself.

    Example:
        To silence it:

        >>> import warnings, attentive_gconv
        >>> from attentive_gconv.groups import ApproximateGroupWarning
        >>> with warnings.catch_warnings(action="ignore", category=ApproximateGroupWarning):
        ...     c8 = attentive_gconv.group("c8")
    """


def multiply(a: Matrix, b: Matrix) -> Matrix:
    """The product of two matrices."""
    (p, q), (r, s) = a
    (t, u), (v, w) = b
    return ((p * t + q * v, p * u + q * w), (r * t + s * v, r * u + s * w))


def _checked(name: str, index: int, matrix: Sequence[Sequence[float]], interpolate: bool) -> Matrix:
    """The matrix, with integer entries where it maps the pixel grid to itself, or an error that says what is wrong."""
    try:
        rows = [[float(entry) for entry in row] for row in matrix]
    except (TypeError, ValueError):
        rows = []
    if len(rows) != 2 or any(len(row) != 2 for row in rows):
        raise ValueError(f"element {index} of group {name!r} must be a 2x2 matrix of numbers, got {matrix!r}")
    magnitudes = [[abs(entry) for entry in row] for row in rows]
    (a, b), (c, d) = rows
    if magnitudes in ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]):
        return ((int(a), int(b)), (int(c), int(d)))
    if not interpolate:
        raise ValueError(
            f"element {index} of group {name!r} has the matrix {rows}, which does not map the square pixel grid to "
            "itself, so its action would need interpolation and equivariance would no longer be exact; use "
            "rotations by multiples of 90° and mirrorings along axes or diagonals (matrices with one ±1 in each row), "
            "or give interpolate=True"
        )
    # not by max(), which a NaN behind the first entry would pass
    if not all(abs(error) < 1e-9 for error in (a * a + c * c - 1, b * b + d * d - 1, a * b + c * d)):
        raise ValueError(
            f"element {index} of group {name!r} has the matrix {rows}, which is no rotation or mirroring: its columns "
            "must be orthogonal and of length 1, to nine decimals"
        )
    return ((a, b), (c, d))


def matrix_key(matrix: Matrix) -> tuple[float, ...]:
    """A dictionary key that is the same for matrices that are equal up to rounding."""
    return tuple(round(entry, DECIMALS) + 0.0 for row in matrix for entry in row)  # -0.0 + 0.0 is 0.0


class FiniteGroup:
    """A finite group H of rotations and mirrorings that map the pixel grid to itself, unless interpolation is allowed.

    Args:
        name: the name that messages, registries and files use.
        matrices: one 2x2 matrix for each element, acting on centred (y, x); the identity first. Their order is that of
            the group axis of every map.
        quadrature_weight: the weight q of one element in the integral over H, a factor of every group convolution.
        interpolate: allow rotations and mirrorings that do not map the pixel grid to itself. They are approximate, and
            a warning says so once.

    Attributes:
        order: |H|, the number of elements.
        matrices: the matrices as nested tuples, of int for exact elements.
        product_table: ``product_table[i][j]`` is the element i·j.
        inverse_table: ``inverse_table[i]`` is the element i⁻¹.
        exact_elements: the elements that map the pixel grid to itself; all of them, unless the group interpolates.
        factors: (k, r) for every element k·r: k exact, r the first element of its coset. Only the r interpolate.
        representatives: the elements r of the factors, each once; for an exact group the identity alone.

    Raises:
        ValueError: if a matrix does not map the grid to itself (or, with ``interpolate``, is not orthogonal), or if the
            matrices are no group (the identity is not first, an element occurs twice, a product is missing).

    Example:
        >>> mirror = FiniteGroup("pm", [((1, 0), (0, 1)), ((1, 0), (0, -1))])
        >>> mirror.order, mirror.product(1, 1), mirror.inverse(1)
        (2, 0, 1)
        >>> import attentive_gconv as ag
        >>> ag.group("c8").factors[:4]
        ((0, 0), (0, 1), (2, 0), (2, 1))
    """

    def __init__(
        self,
        name: str,
        matrices: Sequence[Sequence[Sequence[float]]],
        quadrature_weight: float = 1.0,
        *,
        interpolate: bool = False,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"`name` (={name!r}) must be a text that is not empty")
        if not isinstance(quadrature_weight, int | float) or isinstance(quadrature_weight, bool):
            raise ValueError(f"`quadrature_weight` (={quadrature_weight!r}) of group {name!r} must be a number")
        if not isinstance(interpolate, bool):
            raise ValueError(f"`interpolate` (={interpolate!r}) of group {name!r} must be True or False")
        if isinstance(matrices, str) or not isinstance(matrices, Iterable):
            raise ValueError(f"`matrices` (={matrices!r}) of group {name!r} must be a list of 2x2 matrices")
        self.name = name
        self.quadrature_weight = float(quadrature_weight)
        self.matrices: tuple[Matrix, ...] = tuple(
            _checked(name, i, matrix, interpolate) for i, matrix in enumerate(matrices)
        )
        self.order = len(self.matrices)
        if self.quadrature_weight <= 0 or not math.isfinite(self.quadrature_weight):
            raise ValueError(f"quadrature_weight (={quadrature_weight}) of group {name!r} must be positive and finite")
        if not self.matrices or self.matrices[0] != IDENTITY:
            raise ValueError(f"the first element of group {name!r} must be the identity matrix [[1, 0], [0, 1]]")
        index = {matrix_key(matrix): i for i, matrix in enumerate(self.matrices)}
        if len(index) != self.order:
            raise ValueError(f"group {name!r} lists an element twice: {self.matrices}")
        products = [[multiply(a, b) for b in self.matrices] for a in self.matrices]
        for i, row in enumerate(products):
            for j, product in enumerate(row):
                if matrix_key(product) not in index:
                    raise ValueError(
                        f"group {name!r} is not closed: the product of elements {i} and {j}, {product}, is not an "
                        "element; add it to the matrices"
                    )
        self.product_table: tuple[tuple[int, ...], ...] = tuple(
            tuple(index[matrix_key(p)] for p in row) for row in products
        )
        # closed, finite and made of invertible matrices: every row of the table holds the identity once
        self.inverse_table: tuple[int, ...] = tuple(row.index(0) for row in self.product_table)
        self.exact_elements = tuple(i for i, matrix in enumerate(self.matrices) if _is_on_grid(matrix))
        self.factors = self._factorised()
        self.representatives = tuple(sorted({representative for _, representative in self.factors}))
        if not self.is_exact:
            _warn_that_it_is_approximate(self)

    @property
    def is_exact(self) -> bool:
        """Whether every element maps the pixel grid to itself."""
        return len(self.exact_elements) == self.order

    @cached_property
    def exact(self) -> "FiniteGroup":
        """The subgroup of the elements that map the pixel grid to itself; the group, if all do.

        Example:
            >>> import attentive_gconv as ag
            >>> ag.group("c8").exact, ag.group("d6").exact, ag.group("p4m").exact
            (FiniteGroup('p4', order=4), FiniteGroup('d2', order=4), FiniteGroup('p4m', order=8))
        """
        return self if self.is_exact else self.subgroup(self.exact_elements)

    def _factorised(self) -> tuple[tuple[int, int], ...]:
        found: dict[int, tuple[int, int]] = {}
        for representative in range(self.order):
            if representative not in found:
                found |= {self.product_table[k][representative]: (k, representative) for k in self.exact_elements}
        return tuple(found[h] for h in range(self.order))

    def subgroup(self, elements: Sequence[int], name: str | None = None) -> "FiniteGroup":
        """The subgroup that consists of the given elements, in this order.

        Its quadrature weight is that of the group times |H| / |K|: the integral of a constant stays the same.

        Args:
            elements: the elements, the identity first.
            name: its name; None for that of `attentive_gconv.group` with the same number of rotations and mirrorings.

        Raises:
            IndexError: if the group has no such element.
            ValueError: if the elements are no subgroup.

        Example:
            >>> import attentive_gconv as ag
            >>> ag.group("p4m").subgroup([0, 2])
            FiniteGroup('c2', order=2)
        """
        matrices = [self.matrices[self._element(i)] for i in elements]
        weight = self.quadrature_weight * self.order / max(1, len(matrices))
        return FiniteGroup(name or _usual_name(matrices), matrices, weight, interpolate=True)

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
        """Transform planes by element i: a permutation of pixels, for even, odd and unequal sides, or interpolation.

        An element that does not map the pixel grid to itself is computed by cubic interpolation about the centre, zero
        outside, differentiable in x; unequal sides stay as they are.

        Args:
            i: the element.
            x: ``(..., Y, X)``; of a floating-point dtype where the element interpolates.

        Returns:
            L_i x, ``(..., Y, X)``, or ``(..., X, Y)`` when an exact element swaps the axes.

        Raises:
            IndexError: if the group has no element i.
            ValueError: if x has fewer than two axes.
            TypeError: if an element interpolates integers.

        Example:
            >>> import torch, attentive_gconv as ag
            >>> ag.group("p4").act_on_plane(1, torch.tensor([[1, 2], [3, 4]]))
            tensor([[2, 4],
                    [1, 3]])
        """
        if x.dim() < 2:
            raise ValueError(f"x must have the axes (..., Y, X), got shape {tuple(x.shape)}")
        matrix = self.matrices[self._element(i)]
        if not _is_on_grid(matrix):
            return move_plane(x, matrix)
        (a, b), (c, d) = matrix
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
            L_i f, of the same shape, Y and X swapped when an exact element swaps the axes.

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
        """A readable name: ``"90°"``, ``"22.5°"``, or ``"m·90°"``: rotate by 90°, then reverse the Y axis."""
        (a, b), (c, d) = self.matrices[self._element(i)]
        mirrored = a * d - b * c < 0
        cosine, sine = (-a if mirrored else a), c
        angle = round(math.degrees(math.atan2(sine, cosine)), 1) % 360
        return f"m·{angle:g}°" if mirrored else f"{angle:g}°"

    def _element(self, i: int) -> int:
        i = operator.index(i)  # refuses 1.5, which int() would round
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


def _is_on_grid(matrix: Matrix) -> bool:
    """Whether a matrix maps the pixel grid to itself; `_checked` gives such matrices entries of type int."""
    return all(isinstance(entry, int) for row in matrix for entry in row)


def _usual_name(matrices: Sequence[Matrix]) -> str:
    """The name that `attentive_gconv.group` has for a group with as many rotations and mirrorings."""
    rotations = sum(a * d - b * c > 0 for (a, b), (c, d) in matrices)
    name = f"{'c' if rotations == len(matrices) else 'd'}{rotations}"
    return {"c1": "z2", "c4": "p4", "d4": "p4m"}.get(name, name)


_WARNED: set[str] = set()


def _warn_that_it_is_approximate(group: FiniteGroup) -> None:
    """Warn, once for each name."""
    if group.name in _WARNED:
        return
    _WARNED.add(group.name)
    exact = ", ".join(group.element_name(i) for i in group.exact_elements)
    warnings.warn(
        f"group {group.name!r} is approximate: of its {group.order} elements only {exact} map the pixel grid to "
        "itself and are exact; the others interpolate, kernels as well as maps, and equivariance to them holds "
        "approximately (docs/explanation/any-angle.md says how well)",
        ApproximateGroupWarning,
        stacklevel=stacklevel_of_caller(),
    )
