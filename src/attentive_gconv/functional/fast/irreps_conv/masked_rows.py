"""Vectors of which only some elements are in memory: the ends of rows.

A mask is an integer whose bit i says whether element i is there. Memory behind other elements is not touched.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from attentive_gconv.functional.fast.irreps_conv.register_tiles import pointer_at
from attentive_gconv.functional.fast.numba_runtime.simd import Vector, lanes


def _mask(builder: Any, bits: Any, count: int) -> Any:
    return builder.bitcast(builder.trunc(bits, ir.IntType(count)), ir.VectorType(ir.IntType(1), count))


def _call(builder: Any, name: str, result: Any, array_type: Any, count: int, values: list[Any]) -> Any:
    name = f"llvm.masked.{name}.v{count}f{array_type.dtype.bitwidth}.p0"
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


@intrinsic
def load_masked(typing: Any, array: Any, index: Any, bits: Any) -> Any:
    """The floating-point vector at ``array[index:]``, zero where the mask is."""
    made = Vector(array.dtype, lanes(array.dtype))

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = context.get_value_type(made)
        pointer = pointer_at(context, builder, array, args[0], args[1], target)
        align = ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
        zero = ir.Constant(target, [0.0] * made.lanes)
        values = [pointer, align, _mask(builder, args[2], made.lanes), zero]
        return _call(builder, "load", target, array, made.lanes, values)

    return made(array, types.intp, types.int64), build


@intrinsic
def store_masked(typing: Any, array: Any, index: Any, bits: Any, value: Any) -> Any:
    """Write those elements of a floating-point vector to ``array[index:]`` that the mask has."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = pointer_at(context, builder, array, args[0], args[1], args[3].type)
        align = ir.Constant(ir.IntType(32), array.dtype.bitwidth // 8)
        values = [args[3], pointer, align, _mask(builder, args[2], value.lanes)]
        _call(builder, "store", ir.VoidType(), array, value.lanes, values)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64, value), build
