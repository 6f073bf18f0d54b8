r"""Real irreducible representations of a finite group, its Fourier transform, and the orbits of a kernel's offsets.

At one output position a group convolution is a correlation on the finite group H. The pair (offset t, pose s) of the
input is moved by an element g to (M_g t, g·s); g acts freely on the poses, so that the k²·|H| pairs fall into k²
orbits of |H| pairs, one for each offset t of the pose e. Read along the orbits,

    a_t(s) = x[c, s, p + M_s t],     w_t(u) = ψ[o, c, u, M_u t],     out[o, g, p] = Σ_{t,c,s} a_t(s)·w_t(g⁻¹s)

With real irreducible representations ρ the Fourier transform f̂(ρ) = Σ_s f(s)·ρ(s) makes that block-diagonal:

    out̂(ρ) = Σ_{t,c} â_t(ρ)·ŵ_t(ρ),     â(ρ) = Σ_s a(s)·ρ(s),     ŵ(ρ) = Σ_u w(u)·ρ(u)ᵀ      (matrices d × d)

Each row of â(ρ) is multiplied separately, so that (O·d × k²·C·d)·(k²·C·d × P·d) products remain for P positions.

Source: Serre, *Linear Representations of Finite Groups*, 1977, §2.4, §6.2 and §13.2. For k×k kernels: ours; for linear
layers on the group of the square see Nordström et al., "Stronger ViTs with octic equivariance",
https://arxiv.org/abs/2505.15441.
"""

from functools import lru_cache
from typing import NamedTuple, cast

import torch
from torch import Tensor

from attentive_gconv.functional.filters import kernel_index
from attentive_gconv.groups import FiniteGroup


class Irrep(NamedTuple):
    """A real irreducible representation.

    Attributes:
        matrices: ``matrices[s][a][k]`` is the entry (a, k) of the orthogonal matrix ρ(s), an integer.
        rows: how many rows of f̂(ρ) are independent: d, or half of them where the representation is a complex one and
            its conjugate (the rotations by 90°): the others follow from them.
    """

    matrices: tuple[tuple[tuple[int, ...], ...], ...]
    rows: int

    @property
    def dimension(self) -> int:
        """The dimension d."""
        return len(self.matrices[0])

    @property
    def character(self) -> tuple[int, ...]:
        """The traces of the matrices."""
        return tuple(sum(matrix[i][i] for i in range(self.dimension)) for matrix in self.matrices)


@lru_cache(64)
def real_irreps(group: FiniteGroup) -> tuple[Irrep, ...]:
    """The real irreducible representations of a group of the pixel grid, from its tables; the trivial one first.

    These are the homomorphisms to ±1, found from the multiplication table, and the group's own matrices, if they are
    irreducible. The list is complete for every group of symmetries of the square grid, which is checked by counting.

    Args:
        group: the group H.

    Raises:
        ValueError: if the group has other representations, or elements that interpolate.

    Example:
        >>> import attentive_gconv as ag
        >>> [(irrep.dimension, irrep.rows) for irrep in real_irreps(ag.group("p4m"))]
        [(1, 1), (1, 1), (1, 1), (1, 1), (2, 2)]
        >>> [(irrep.dimension, irrep.rows) for irrep in real_irreps(ag.group("p4"))]
        [(1, 1), (1, 1), (2, 1)]
    """
    if not group.is_exact:
        raise ValueError(
            f"group {group.name!r} has elements that do not map the pixel grid to itself: offsets of a kernel have no "
            "orbits; its exact subgroup is `exact`"
        )
    found = [Irrep(tuple(((sign,),) for sign in signs), 1) for signs in _sign_homomorphisms(group)]
    own = Irrep(cast("tuple[tuple[tuple[int, ...], ...], ...]", group.matrices), 2)
    if all(_inner_product(own, other) == 0 for other in found):
        found.append(own._replace(rows=2 * group.order // sum(trace * trace for trace in own.character)))
    if sum(irrep.dimension * irrep.rows for irrep in found) != group.order:
        raise ValueError(
            f"group {group.name!r} has real representations beside its characters ±1 and its own matrices; the Fourier "
            "transform knows the symmetries of the square grid"
        )
    return tuple(found)


def _inner_product(a: Irrep, b: Irrep) -> int:
    """|H| times the inner product of two characters: 0 if they share no irreducible representation."""
    return sum(x * y for x, y in zip(a.character, b.character, strict=True))


def _sign_homomorphisms(group: FiniteGroup) -> list[tuple[int, ...]]:
    """All homomorphisms to {1, -1}: signs of generators, spread by the multiplication table, kept if they agree."""
    generators: list[int] = []
    words: dict[int, tuple[int, ...]] = {0: ()}  # each element as a product of generators
    for element in range(1, group.order):
        if element in words:
            continue
        generators.append(element)
        waiting = list(words)
        while waiting:
            last = waiting.pop()
            for generator in generators:
                if (reached := group.product(last, generator)) not in words:
                    words[reached] = (*words[last], generator)
                    waiting.append(reached)
    found = []
    for number in range(2 ** len(generators)):
        sign = {generator: -1 if number >> i & 1 else 1 for i, generator in enumerate(generators)}
        signs = []
        for element in range(group.order):
            value = 1
            for generator in words[element]:
                value *= sign[generator]
            signs.append(value)
        pairs = ((i, j) for i in range(group.order) for j in range(group.order))
        if all(signs[group.product(i, j)] == signs[i] * signs[j] for i, j in pairs):
            found.append(tuple(signs))
    return found


def fourier_rows(group: FiniteGroup) -> list[tuple[int, int, int]]:
    """Labels of the rows of `fourier_matrix`: (irrep, a, k) for the entry (a, k) of f̂(ρ), ρ the irrep of this number.

    Example:
        >>> import attentive_gconv as ag
        >>> fourier_rows(ag.group("p4"))
        [(0, 0, 0), (1, 0, 0), (2, 0, 0), (2, 0, 1)]
    """
    irreps = real_irreps(group)
    return [(i, a, k) for i, irrep in enumerate(irreps) for a in range(irrep.rows) for k in range(irrep.dimension)]


def fourier_matrix(group: FiniteGroup, *, normalized: bool = True) -> Tensor:
    r"""The Fourier transform of functions on the group, as a matrix.

    Args:
        group: the group H.
        normalized: scale the entries ρ(s)[a, k] by √(d / |H|), so that the matrix is orthogonal (Plancherel); else they
            are 0, 1 and -1.

    Returns:
        float64 ``(|H|, |H|)``: row ``fourier_rows(group)[r]``, column s.

    Example:
        >>> import attentive_gconv as ag
        >>> fourier_matrix(ag.group("p4"), normalized=False)
        tensor([[ 1.,  1.,  1.,  1.],
                [ 1., -1.,  1., -1.],
                [ 1.,  0., -1.,  0.],
                [ 0., -1.,  0.,  1.]], dtype=torch.float64)
    """
    irreps = real_irreps(group)
    rows = []
    for i, a, k in fourier_rows(group):
        scale = (irreps[i].dimension / group.order) ** 0.5 if normalized else 1.0
        rows.append([scale * matrix[a][k] for matrix in irreps[i].matrices])
    return torch.tensor(rows, dtype=torch.float64, device="cpu")


def orbit_index(group: FiniteGroup, kernel_size: int) -> Tensor:
    """The orbits of a kernel's offsets: where M_s t lies for each offset t and pose s.

    Args:
        group: the group H.
        kernel_size: the side k of a square kernel, odd or even.

    Returns:
        int64 ``(k², |H|)``: entry ``[t, s]`` is the number of the offset M_s t; offset (i, j) has the number i·k + j.

    Example:
        >>> import attentive_gconv as ag
        >>> orbit_index(ag.group("p4"), 2)
        tensor([[0, 2, 3, 1],
                [1, 0, 2, 3],
                [2, 3, 1, 0],
                [3, 1, 0, 2]])
    """
    there = kernel_index(group, kernel_size, over_group=False).flatten(1)  # row h: M_h⁻¹ t
    return there[list(group.inverse_table)].t().contiguous()
