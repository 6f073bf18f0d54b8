"""Groups by name: those of the paper's tables, and the cyclic and dihedral groups of any number of rotations.

    z2   0: identity
    p4   j: rotation by j·90°, ``torch.rot90(x, j, (-2, -1))``
    p4m  j: the same for j < 4; 4 + j: rotate by j·90° first, then reverse the Y axis (dim -2)
    cN   j: rotation by j·360°/N, counter-clockwise to the eye, as p4's
    dN   j: the same for j < N; N + j: rotate by j·360°/N first, then reverse the Y axis

In centred coordinates (y down, x right) the rotation by θ is [[cos θ, -sin θ], [sin θ, cos θ]] and the reversal
[[-1, 0], [0, 1]]. c1, c4 and d4 are z2, p4 and p4m; c2, d1 and d2 are exact, too. Of the others the elements that are
multiples of 90°, mirrored or not, are exact.

The quadrature weights are those of Romero et al., ICML 2020 (their released code), 1 for z2, 2π/N for N rotations and
2·2π/N with mirrorings.
"""

import math

from attentive_gconv.groups.finite import IDENTITY, FiniteGroup, multiply
from attentive_gconv.groups.interpolation import Matrix

REVERSAL: Matrix = ((-1, 0), (0, 1))
MAX_ROTATIONS = 360


def _rotations(count: int) -> list[Matrix]:
    return [_rotation(4 * j, count) for j in range(count)]


def _rotation(quarters: int, count: int) -> Matrix:
    """The rotation by ``quarters / count`` times 90°; whole quarter turns are exact."""
    turns, rest = divmod(quarters, count)
    angle = math.pi / 2 * rest / count
    matrix: Matrix = ((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))) if rest else IDENTITY
    for _ in range(turns):
        matrix = multiply(((0, -1), (1, 0)), matrix)
    return matrix


def z2() -> FiniteGroup:
    """Translations alone: H is trivial and a group convolution is an ordinary convolution."""
    return FiniteGroup("z2", [IDENTITY], quadrature_weight=1.0)


def p4() -> FiniteGroup:
    """Translations and the four rotations by multiples of 90°."""
    return cyclic(4, "p4")


def p4m() -> FiniteGroup:
    """Translations, rotations by multiples of 90°, and mirrorings: eight elements."""
    return dihedral(4, "p4m")


def cyclic(count: int, name: str | None = None) -> FiniteGroup:
    """C_N: translations and N rotations."""
    weight = 2 * math.pi / count
    return FiniteGroup(name or f"c{count}", _rotations(count), weight, interpolate=True)


def dihedral(count: int, name: str | None = None) -> FiniteGroup:
    """D_N: translations, N rotations, and as many mirrorings."""
    rotations = _rotations(count)
    mirrored = [multiply(REVERSAL, rotation) for rotation in rotations]
    weight = 2 * 2 * math.pi / count
    return FiniteGroup(name or f"d{count}", rotations + mirrored, weight, interpolate=True)
