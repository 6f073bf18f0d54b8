"""Matrix products whose tile of results stays in registers.

    out[r, n] += Σ_k a[r, k]·b[k, n]

A tile is `height` rows by a few vectors of columns, as many as the processor's registers hold. A row of b is loaded as
vectors, each entry of a is spread over one. For each height there is a loop of its own, all in one function.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from attentive_gconv.functional.fast.numba_runtime.simd import CONTRACT, has_wide_registers, lanes

# vectors of positions that a panel is wide, and the highest tile: 24 of 32 registers of 512 bits, or 12 of 16
PANEL_VECTORS, MAX_HEIGHT = 2, 12 if has_wide_registers() else 6


def panel_width(kind: Any) -> int:
    """How many positions a panel has."""
    return PANEL_VECTORS * lanes(kind)


def best_height(rows: int) -> int:
    """The height of the tiles that cover so many rows: the fewest tiles, as even as they go.

    Example:
        >>> best_height(1), best_height(0)
        (1, 1)
    """
    tiles = -(-rows // MAX_HEIGHT)
    return -(-rows // max(tiles, 1)) or 1


def pointer_at(context: Any, builder: Any, array_type: Any, array: Any, index: Any, target: Any = None) -> Any:
    """A pointer to an entry of a one-dimensional contiguous array, as one to ``target`` if that is given."""
    data = context.make_array(array_type)(context, builder, array).data
    index = _word(index) if isinstance(index, int) else index
    pointer = builder.gep(data, [index])
    return pointer if target is None else builder.bitcast(pointer, ir.PointerType(target))


def _word(number: int) -> Any:
    return ir.Constant(ir.IntType(64), number)


class _Operands(NamedTuple):
    """The arguments of a product, as LLVM values."""

    height: Any
    a: Any
    a_at: Any
    a_jump: Any
    b: Any
    b_at: Any
    b_jump: Any
    b_step: Any
    jumps: Any
    steps: Any
    out: Any
    out_at: Any
    out_step: Any
    fresh: Any


class _Tile:
    """Emits the loop of one height: sums in registers over ``jumps`` times ``steps`` values of k."""

    def __init__(
        self, context: Any, builder: Any, kinds: tuple[Any, Any, Any], operands: _Operands, rows: int, vectors: int
    ) -> None:
        self.context, self.builder, self.kinds, self.given = context, builder, kinds, operands
        self.rows, self.vectors = rows, vectors
        self.lanes, self.align = lanes(kinds[0].dtype), kinds[0].dtype.bitwidth // 8
        self.vector = ir.VectorType(context.get_value_type(kinds[0].dtype), self.lanes)
        self.sums = [[cgutils.alloca_once(builder, self.vector) for _ in range(vectors)] for _ in range(rows)]

    def emit(self, along_rows: bool) -> None:
        given, builder = self.given, self.builder
        targets = self._targets()
        with builder.if_else(builder.icmp_signed("!=", given.fresh, _word(0))) as (first, later):
            with first:
                self._begin(lambda r, v: ir.Constant(self.vector, [0.0] * self.lanes))
            with later:
                self._begin(lambda r, v: builder.load(targets[r][v], align=self.align))
        with cgutils.for_range(builder, given.jumps) as far, cgutils.for_range(builder, given.steps) as near:
            step = near.index if along_rows else builder.mul(near.index, _word(self.rows))
            a_at = builder.add(builder.add(given.a_at, builder.mul(far.index, given.a_jump)), step)
            b_at = builder.add(given.b_at, builder.mul(far.index, given.b_jump))
            b_at = builder.add(b_at, builder.mul(near.index, given.b_step))
            self._step(a_at, b_at, panel_width(self.kinds[0].dtype) if along_rows else 1)
        for r, row in enumerate(targets):
            for v, target in enumerate(row):
                builder.store(builder.load(self.sums[r][v]), target, align=self.align)

    def _targets(self) -> list[list[Any]]:
        builder, given = self.builder, self.given

        def target(r: int, v: int) -> Any:
            at = builder.add(given.out_at, builder.add(builder.mul(given.out_step, _word(r)), _word(v * self.lanes)))
            return pointer_at(self.context, builder, self.kinds[2], given.out, at, self.vector)

        return [[target(r, v) for v in range(self.vectors)] for r in range(self.rows)]

    def _begin(self, value: Callable[[int, int], Any]) -> None:
        for r in range(self.rows):
            for v in range(self.vectors):
                self.builder.store(value(r, v), self.sums[r][v])

    def _step(self, a_at: Any, b_at: Any, row_distance: int) -> None:
        """One k: a row of b as vectors; each entry of a spread over one, and multiplied by all of them."""
        builder = self.builder
        a = pointer_at(self.context, builder, self.kinds[0], self.given.a, a_at)
        b = pointer_at(self.context, builder, self.kinds[1], self.given.b, b_at)
        columns = []
        for v in range(self.vectors):
            pointer = builder.bitcast(builder.gep(b, [_word(v * self.lanes)]), ir.PointerType(self.vector))
            columns.append(builder.load(pointer, align=self.align))
        for r in range(self.rows):
            entry = self._spread(builder.load(builder.gep(a, [_word(r * row_distance)])))
            for v in range(self.vectors):
                product = builder.fmul(entry, columns[v], flags=CONTRACT)
                summed = builder.fadd(product, builder.load(self.sums[r][v]), flags=CONTRACT)
                builder.store(summed, self.sums[r][v])

    def _spread(self, scalar: Any) -> Any:
        undefined, half = ir.Constant(self.vector, ir.Undefined), ir.IntType(32)
        one = self.builder.insert_element(undefined, scalar, ir.Constant(half, 0))
        mask = ir.Constant(ir.VectorType(half, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, undefined, mask)


def _product(vectors: int, along_rows: bool, doc: str) -> Any:
    """An intrinsic that adds a product to a tile of ``vectors`` vectors of columns.

    ``along_rows``: a is stored row by row, in panels (row r lies ``panel_width`` entries behind row r - 1); else the
    entries of one k lie side by side.
    """

    def typed(
        typing: Any, height: Any, a: Any, a_at: Any, a_jump: Any, b: Any, b_at: Any, b_jump: Any, b_step: Any,
        jumps: Any, steps: Any, out: Any, out_at: Any, out_step: Any, fresh: Any,
    ) -> Any:  # fmt: skip
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            operands = _Operands(*args)
            done = builder.append_basic_block("done")
            switch = builder.switch(operands.height, done)
            for rows in range(1, MAX_HEIGHT + 1):
                block = builder.append_basic_block(f"height{rows}")
                switch.add_case(_word(rows), block)
                builder.position_at_end(block)
                _Tile(context, builder, (a, b, out), operands, rows, vectors).emit(along_rows)
                builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        word = types.intp
        numbers = (word,) * 3
        return types.void(word, a, *numbers[:2], b, *numbers, *numbers[:2], out, *numbers), build

    typed.__doc__ = doc
    typed.__name__ = f"product_{vectors}_{along_rows}"
    return intrinsic(typed)


multiply_panel = _product(PANEL_VECTORS, False, "Rows of packed weights times a panel of positions.")
multiply_rows = _product(PANEL_VECTORS, True, "Rows of positions times columns, summed over the positions.")
multiply_rows_once = _product(1, True, "The same for one vector of columns.")
