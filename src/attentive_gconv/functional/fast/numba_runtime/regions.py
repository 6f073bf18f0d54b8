"""Parallel regions of compiled kernels: the chunks of a kernel's tasks, on the threads of an OpenMP runtime.

Python takes no part in it: a region that does nothing costs a microsecond, where one whose threads call back into
Python costs thirty. That matters for small maps.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FAILED = ("a compiled kernel failed; most likely it found no memory: take smaller batches",)


class Run(NamedTuple):
    """How the tasks are shared: chunk c of ``chunks`` has the tasks ``tasks·c // chunks … tasks·(c + 1) // chunks``."""

    openmp: int  # address of ``GOMP_parallel``; 0 to stay on this thread
    threads: int
    first: int  # chunks of this call
    last: int
    chunks: int
    tasks: int


@intrinsic
def run_region(typing: Any, kernel: Any, run: Any, arguments: Any) -> Any:
    """Call ``kernel(chunk, start, stop, *arguments)`` for each chunk; a thread takes the next one when it is free."""
    called = kernel.get_call_type(typing, (types.intp,) * 3 + tuple(arguments), {})

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word, none = ir.IntType(64), ir.VoidType()
        pointer = ir.IntType(8).as_pointer()
        compiled = kernel.dispatcher.overloads[called.args]
        context.active_code_library.add_linking_library(compiled.library)
        openmp, threads, first, last, chunks, tasks = (builder.extract_value(args[1], i) for i in range(6))
        # what the threads share: the arguments; the next chunk, the last, of how many, tasks; whether one failed
        shared_type = ir.LiteralStructType([args[2].type, word, word, word, word, word])
        shared = cgutils.alloca_once(builder, shared_type)
        field = lambda b, whole, i: b.gep(whole, [ir.Constant(ir.IntType(32), n) for n in (0, i)])  # noqa: E731
        for i, value in enumerate((args[2], first, last, chunks, tasks, ir.Constant(word, 0))):
            builder.store(value, field(builder, shared, i))

        region_type = ir.FunctionType(none, [pointer])
        region = ir.Function(builder.module, region_type, builder.module.get_unique_name("parallel_region"))
        region.linkage = "internal"
        inner = ir.IRBuilder(region.append_basic_block("entry"))
        whole = inner.bitcast(region.args[0], shared_type.as_pointer())
        values = cgutils.unpack_tuple(inner, inner.load(field(inner, whole, 0)), len(called.args) - 3)
        of_chunks, of_tasks, end = (inner.load(field(inner, whole, i)) for i in (3, 4, 2))
        loop, work, done = (region.append_basic_block(name) for name in ("next", "work", "done"))
        inner.branch(loop)
        inner.position_at_end(loop)
        chunk = inner.atomic_rmw("add", field(inner, whole, 1), ir.Constant(word, 1), "monotonic")
        inner.cbranch(inner.icmp_signed("<", chunk, end), work, done)
        inner.position_at_end(work)
        start = inner.sdiv(inner.mul(of_tasks, chunk), of_chunks)
        stop = inner.sdiv(inner.mul(of_tasks, inner.add(chunk, ir.Constant(word, 1))), of_chunks)
        status, _ = context.call_internal_no_propagate(inner, compiled.fndesc, called, [chunk, start, stop, *values])
        with inner.if_then(status.is_error):
            inner.store(ir.Constant(word, 1), field(inner, whole, 5))
        inner.branch(loop)
        inner.position_at_end(done)
        inner.ret_void()

        given = builder.bitcast(shared, pointer)
        with builder.if_else(builder.icmp_signed("==", openmp, ir.Constant(word, 0))) as (alone, together):
            with alone:
                builder.call(region, [given])
            with together:
                half = ir.IntType(32)
                entry = ir.FunctionType(none, [region_type.as_pointer(), pointer, half, half]).as_pointer()
                count = builder.trunc(threads, half)
                builder.call(builder.inttoptr(openmp, entry), [region, given, count, ir.Constant(half, 0)])
        with builder.if_then(builder.icmp_signed("!=", builder.load(field(builder, shared, 5)), ir.Constant(word, 0))):
            context.call_conv.return_user_exc(builder, RuntimeError, _FAILED)
        return context.get_dummy_value()

    return types.void(kernel, run, arguments), build
