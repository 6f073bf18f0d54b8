"""The Fourier transform of a small group as butterflies on vectors.

A butterfly replaces two values x, y by x + y and x - y. The transform of a group with 2ⁿ elements is a chain of them
(20 additions for the group of the square, 6 for the rotations by 90°). They are found from the matrix: two columns
whose entries agree up to signs in every row are one butterfly, after which each row needs one of the two.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from attentive_gconv.functional.fast.irreps_conv.register_tiles import PANEL_VECTORS, pointer_at
from attentive_gconv.functional.fast.numba_runtime.simd import CONTRACT, lanes
from attentive_gconv.functional.irreps import fourier_matrix
from attentive_gconv.groups import FiniteGroup


class Butterflies(NamedTuple):
    """A transform as butterflies.

    Attributes:
        steps: pairs (i, j): the values i and j become their sum and their difference, in this order.
        rows: ``rows[r]`` is (i, sign): row r of the transform is then sign times value i.
    """

    steps: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, int], ...]


def factorize(matrix: np.ndarray) -> Butterflies:
    """The butterflies of a square matrix of 0, 1 and -1.

    Raises:
        ValueError: if there are none.

    Example:
        >>> factorize(np.array([[1, 1], [1, -1]]))
        Butterflies(steps=((0, 1),), rows=((0, 1), (1, 1)))
    """
    left, steps, size = matrix.copy(), [], len(matrix)
    pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
    while (pair := next((p for p in pairs if _alike(left[:, p[0]], left[:, p[1]])), None)) is not None:
        first, second = left[:, pair[0]].copy(), left[:, pair[1]].copy()
        left[:, pair[0]], left[:, pair[1]] = (first + second) / 2, (first - second) / 2
        steps.append(pair)
    if np.any(np.count_nonzero(left, axis=1) != 1):
        raise ValueError(f"the matrix {matrix.tolist()} is no chain of butterflies")
    values = [int(np.flatnonzero(row)[0]) for row in left]
    return Butterflies(tuple(steps), tuple((i, int(row[i])) for i, row in zip(values, left, strict=True)))


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.array_equal(np.abs(a), np.abs(b)) and np.any(a))


class Program:
    """Butterflies as an argument of compiled kernels, which are compiled for them."""

    def __init__(self, butterflies: Butterflies) -> None:
        self._numba_type_ = _ProgramType(butterflies)


@lru_cache(64)
def program_of(group: FiniteGroup) -> Program:
    """The butterflies of a group's unnormalized Fourier transform."""
    return Program(factorize(fourier_matrix(group, normalized=False).numpy()))


class _ProgramType(types.Type):
    def __init__(self, butterflies: Butterflies) -> None:
        self.butterflies = butterflies
        super().__init__(name=f"Program{butterflies}")


register_model(_ProgramType)(models.OpaqueModel)


@unbox(_ProgramType)
def _unbox_program(kind: Any, value: Any, c: Any) -> NativeValue:
    return NativeValue(c.context.get_dummy_value())


def _transform(builder: Any, butterflies: Butterflies, values: list[Any]) -> list[Any]:
    """The rows of the transform."""
    values = list(values)
    for i, j in butterflies.steps:
        values[i], values[j] = (
            builder.fadd(values[i], values[j], flags=CONTRACT),
            builder.fsub(values[i], values[j], flags=CONTRACT),
        )
    return [values[i] if sign > 0 else builder.fneg(values[i]) for i, sign in butterflies.rows]


def _transposed(builder: Any, butterflies: Butterflies, rows: list[Any]) -> list[Any]:
    """The transpose of the transform: a butterfly is its own."""
    values: list[Any] = [None] * len(rows)
    for (i, sign), row in zip(butterflies.rows, rows, strict=True):
        values[i] = row if sign > 0 else builder.fneg(row)
    for i, j in reversed(butterflies.steps):
        values[i], values[j] = (
            builder.fadd(values[i], values[j], flags=CONTRACT),
            builder.fsub(values[i], values[j], flags=CONTRACT),
        )
    return values


def _panelwise(apply: Callable[..., list[Any]], doc: str) -> Any:
    """An intrinsic that reads a vector at each of |H| addresses, transforms them and writes them, panel by panel."""

    def typed(
        typing: Any, program: Any, source: Any, source_at: Any, source_step: Any, source_starts: Any, target: Any,
        target_at: Any, target_step: Any, target_starts: Any, panels: Any,
    ) -> Any:  # fmt: skip
        butterflies, count = program.butterflies, lanes(source.dtype)

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, source_data, at, step, sources, target_data, to, to_step, targets, length = args
            vector = ir.VectorType(context.get_value_type(source.dtype), count)

            def starts(array_type: Any, array: Any, shift: Any) -> list[Any]:
                pointers = (pointer_at(context, builder, array_type, array, i) for i in range(len(butterflies.rows)))
                return [builder.add(shift, builder.load(pointer)) for pointer in pointers]

            reads, writes = starts(source_starts, sources, at), starts(target_starts, targets, to)
            with cgutils.for_range(builder, length) as loop:
                read_shift, write_shift = builder.mul(loop.index, step), builder.mul(loop.index, to_step)
                for v in range(PANEL_VECTORS):
                    near = builder.add(read_shift, ir.Constant(read_shift.type, v * count))
                    far = builder.add(write_shift, ir.Constant(write_shift.type, v * count))
                    values = []
                    for start in reads:
                        pointer = pointer_at(context, builder, source, source_data, builder.add(start, near), vector)
                        values.append(builder.load(pointer, align=source.dtype.bitwidth // 8))
                    for start, value in zip(writes, apply(builder, butterflies, values), strict=True):
                        pointer = pointer_at(context, builder, target, target_data, builder.add(start, far), vector)
                        builder.store(value, pointer, align=source.dtype.bitwidth // 8)
            return context.get_dummy_value()

        sizes = (types.intp, types.intp)
        signature = types.void(
            program, source, *sizes, source_starts, target, *sizes, target_starts, types.intp
        )  # fmt: skip
        return signature, build

    typed.__doc__ = doc
    typed.__name__ = apply.__name__.strip("_")
    return intrinsic(typed)


transform = _panelwise(_transform, "The transform: values at ``source_starts`` to rows at ``target_starts``.")
transpose = _panelwise(_transposed, "Its transpose: rows at ``source_starts`` to values at ``target_starts``.")
