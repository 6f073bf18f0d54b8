"""Vectors for Numba kernels: values of one SIMD register, loaded from arrays and computed with explicitly.

A `Vector` holds ``VECTOR_BYTES`` of float32 or float64, or as many integers beside them. It lives inside compiled code
only. Arrays are one-dimensional and contiguous; indices count elements and are not checked.

The width follows the processor: one register of AVX-512, of which there are 32; one of AVX2, of which there are 16, so
that kernels hold some twelve vectors at a time; two of ARM's. LLVM legalises the rest.
"""

from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model


def has_wide_registers() -> bool:
    """Whether compiled code may use AVX-512: 32 registers of 512 bits."""
    features = numba.config.CPU_FEATURES
    if features is not None:
        return "+avx512f" in features
    return bool(llvm.get_host_cpu_features().get("avx512f", False))


VECTOR_BYTES = 64 if has_wide_registers() else 32
CONTRACT = ("contract",)  # a product and a sum may become one fused operation


class Vector(types.Type):
    """The type of a vector: so many elements of a scalar type."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype} x {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(dmm.lookup(fe_type.dtype).get_value_type(), fe_type.lanes))


@cache
def lanes(kind: Any) -> int:
    """How many elements of a floating-point type (Numba's or NumPy's) make a vector."""
    return VECTOR_BYTES // (getattr(kind, "bitwidth", 0) // 8 or kind.itemsize)


def _floats(kind: Any) -> Vector:
    return Vector(kind, lanes(kind))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, target: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.PointerType(target))


def _splat(context: Any, builder: Any, scalar: Any, count: int) -> Any:
    kind = ir.VectorType(scalar.type, count)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


@intrinsic
def lanes_of(typing: Any, array: Any) -> Any:
    """How many elements of this array make a vector, a constant."""
    count = lanes(array.dtype)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(types.intp), count)

    return types.intp(array), build


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The floating-point vector at ``array[index:]``."""
    made = _floats(array.dtype)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = context.get_value_type(made)
        pointer = _pointer(context, builder, array, args[0], args[1], target)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return made(array, types.intp), build


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a floating-point vector to ``array[index:]``."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, array, args[0], args[1], args[2].type)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), build


@intrinsic
def load_integers(typing: Any, array: Any, index: Any, like: Any) -> Any:
    """As many integers as ``like`` has elements, from ``array[index:]``, as int32."""
    made = Vector(types.int32, like.lanes)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        stored = ir.VectorType(ir.IntType(array.dtype.bitwidth), like.lanes)
        pointer = _pointer(context, builder, array, args[0], args[1], stored)
        value = builder.load(pointer, align=array.dtype.bitwidth // 8)
        wide = context.get_value_type(made)
        if array.dtype.bitwidth == 32:
            return value
        return builder.sext(value, wide) if array.dtype.signed else builder.zext(value, wide)

    return made(array, types.intp, like), build


@intrinsic
def store_integers(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector of integers to ``array[index:]``, narrowed to the array's type."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        stored = ir.VectorType(ir.IntType(array.dtype.bitwidth), value.lanes)
        pointer = _pointer(context, builder, array, args[0], args[1], stored)
        narrow = args[2] if array.dtype.bitwidth == 32 else builder.trunc(args[2], stored)
        builder.store(narrow, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), build


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """A floating-point scalar in every element."""
    made = _floats(scalar)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(context, builder, args[0], made.lanes)

    return made(scalar), build


@intrinsic
def spread(typing: Any, array: Any, index: Any) -> Any:
    """The entry ``array[index]`` in every element; what `splat` of it gives, without the test for a negative index."""
    made = _floats(array.dtype)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        return _splat(context, builder, builder.load(builder.gep(data, [args[1]])), made.lanes)

    return made(array, types.intp), build


@intrinsic
def splat_integer(typing: Any, scalar: Any, like: Any) -> Any:
    """An integer, as int32, in as many elements as ``like`` has."""
    made = Vector(types.int32, like.lanes)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        narrow = context.cast(builder, args[0], scalar, types.int32)
        return _splat(context, builder, narrow, made.lanes)

    return made(scalar, like), build


@intrinsic
def first_place(typing: Any, places: Any, like: Any) -> Any:
    """Zeros in as many integers as ``like`` has elements; None if the array that would keep them is None."""
    absent = isinstance(places, types.NoneType)
    made = types.none if absent else Vector(types.int32, like.lanes)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_dummy_value() if absent else ir.Constant(context.get_value_type(made), None)

    return made(places, like), build


def _arithmetic(operation: str, doc: str) -> Any:
    def typed(typing: Any, a: Any, b: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, operation)(*args, flags=CONTRACT)

        return a(a, b), build

    typed.__doc__ = doc
    typed.__name__ = operation
    return intrinsic(typed)


add = _arithmetic("fadd", "a + b.")
subtract = _arithmetic("fsub", "a - b.")
multiply = _arithmetic("fmul", "a·b.")
divide = _arithmetic("fdiv", "a / b.")


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c, fused where the processor can."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(builder.fmul(args[0], args[1], flags=CONTRACT), args[2], flags=CONTRACT)

    return a(a, b, c), build


def _selection(comparison: str, sign: str, doc: str) -> Any:
    def typed(typing: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.select(getattr(builder, comparison)(sign, args[0], args[1]), args[2], args[3])

        def build_none(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_dummy_value()

        return (y(a, b, x, y), build_none) if isinstance(y, types.NoneType) else (x(a, b, x, y), build)

    typed.__doc__ = doc
    typed.__name__ = comparison
    return intrinsic(typed)


where_greater = _selection("fcmp_ordered", ">", "x where a > b, else y (also where either is NaN); None if y is None.")
where_at_most = _selection("fcmp_ordered", "<=", "x where a ≤ b, else y (also where either is NaN).")
where_equal = _selection("icmp_signed", "==", "x where the integers a and b are equal, else y.")


@intrinsic
def total(typing: Any, a: Any) -> Any:
    """The sum of the elements."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_value_type(a.dtype)
        name = f"llvm.vector.reduce.fadd.v{a.lanes}f{a.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind, args[0].type]), name)
        return builder.call(function, [ir.Constant(kind, -0.0), args[0]], fastmath=("reassoc",))

    return a.dtype(a), build


@intrinsic
def add_totals(typing: Any, array: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Add the sums of the elements of four vectors to ``array[index : index + 4]``."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def shuffled(x: Any, y: Any, order: list[int]) -> Any:
            mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
            return builder.shuffle_vector(x, y, mask)

        def merged(x: Any, y: Any, near: list[tuple[int, int]]) -> Any:
            """Both halves of each four elements added; what is left of x and y side by side."""
            order = [4 * four + i + (a.lanes if of_y else 0) for four in range(a.lanes // 4) for of_y, i in near]
            return builder.fadd(shuffled(x, y, order), shuffled(x, y, [place + 2 for place in order]))

        alternating, by_pairs = [(0, 0), (1, 0), (0, 1), (1, 1)], [(0, 0), (0, 1), (1, 0), (1, 1)]
        first, second = (merged(args[i], args[i + 1], alternating) for i in (2, 4))
        sums = merged(first, second, by_pairs)
        count = a.lanes
        while count > 4:  # every four elements hold parts of the four sums
            count //= 2
            sums = builder.fadd(*(shuffled(sums, sums, list(range(at, at + count))) for at in (0, count)))
        pointer = _pointer(context, builder, array, args[0], args[1], sums.type)
        align = array.dtype.bitwidth // 8
        builder.store(builder.fadd(builder.load(pointer, align=align), sums), pointer, align=align)
        return context.get_dummy_value()

    return types.void(array, types.intp, a, b, c, d), build


@intrinsic
def power_of_two(typing: Any, k: Any) -> Any:
    """2^k for whole k in the range of normal numbers; anything for NaN."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, mantissa, bias = (32, 23, 127) if k.dtype.bitwidth == 32 else (64, 52, 1023)
        kind = ir.VectorType(ir.IntType(bits), k.lanes)
        constant = lambda value: ir.Constant(kind, [value] * k.lanes)  # noqa: E731
        zero = ir.Constant(args[0].type, [0.0] * k.lanes)
        whole = builder.select(builder.fcmp_unordered("uno", args[0], args[0]), zero, args[0])
        exponent = builder.add(builder.fptosi(whole, kind), constant(bias))
        return builder.bitcast(builder.shl(exponent, constant(mantissa)), args[0].type)

    return k(k), build
