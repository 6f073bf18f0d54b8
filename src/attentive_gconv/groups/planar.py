"""The groups of the paper's tables: z2, p4 and p4m, with their element order.

    z2   0: identity
    p4   j: rotation by j·90°, ``torch.rot90(x, j, (-2, -1))``
    p4m  j: the same for j < 4; 4 + j: rotate by j·90° first, then reverse the Y axis (dim -2)

In centred coordinates (y down, x right) the rotation by 90° is [[0, -1], [1, 0]] and the reversal [[-1, 0], [0, 1]].
The quadrature weights are those of Romero et al., ICML 2020 (their released code): 1, 2π/4 and 2·2π/4.
"""

import math

from attentive_gconv.groups.finite import IDENTITY, FiniteGroup, Matrix, _multiply

ROTATION: Matrix = ((0, -1), (1, 0))
REVERSAL: Matrix = ((-1, 0), (0, 1))


def _rotations() -> list[Matrix]:
    powers = [IDENTITY]
    for _ in range(3):
        powers.append(_multiply(ROTATION, powers[-1]))
    return powers


def z2() -> FiniteGroup:
    """Translations alone: H is trivial and a group convolution is an ordinary convolution."""
    return FiniteGroup("z2", [IDENTITY], quadrature_weight=1.0)


def p4() -> FiniteGroup:
    """Translations and the four rotations by multiples of 90°."""
    return FiniteGroup("p4", _rotations(), quadrature_weight=2 * math.pi / 4)


def p4m() -> FiniteGroup:
    """Translations, rotations by multiples of 90°, and mirrorings: eight elements."""
    rotations = _rotations()
    mirrored = [_multiply(REVERSAL, rotation) for rotation in rotations]
    return FiniteGroup("p4m", rotations + mirrored, quadrature_weight=2 * 2 * math.pi / 4)
