"""How a group convolution is cut into tiles, and where everything lies in a tile's memory.

A tile is some samples times some rows of output positions. For each input channel the samples that the tile sees are
copied into planes, one for each pose s and kernel column j, in the order (row, sample, output column): shifted by the
column, without a border, zeros outside the map, rows of one stride phase together. Whatever the stride, dilation or
padding, offset (i, j) of the kernel then reads consecutive entries for consecutive output positions, over the ends of
rows and samples.

    positions     (row, sample, column) of the output, in panels of some vectors
    â             for each irrep and row a of it: (channel, k, offset) × positions, for a block of channels
    out̂           for each irrep and row a of it: (b, output channel) × positions
    weights       for each block of channels and irrep: tiles of rows (b, output channel); (channel, k, offset) × height
"""

from functools import lru_cache
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from attentive_gconv.functional.fast.irreps_conv.register_tiles import best_height, panel_width
from attentive_gconv.functional.fast.numba_runtime.simd import lanes
from attentive_gconv.functional.geometry import Pair
from attentive_gconv.functional.irreps import orbit_index, real_irreps
from attentive_gconv.groups import FiniteGroup

MAX_POSITIONS = 192  # of a tile, unless a row is longer
BLOCK_BYTES = 432 << 10  # of â


class Problem(NamedTuple):
    """A convolution; hashable, so that what follows from it is worked out once."""

    group: FiniteGroup
    channels: int
    outputs: int
    kernel_size: int
    stride: Pair
    padding: Pair  # may be negative
    dilation: Pair
    batch: int
    height: int
    width: int
    out_height: int
    out_width: int


class Tiling(NamedTuple):
    """Numbers for compiled kernels."""

    order: int
    channels: int
    outputs: int
    offsets: int  # of the kernel, k²
    side: int  # k
    batch: int
    height: int
    width: int
    out_height: int
    out_width: int
    stride_y: int
    stride_x: int
    samples: int  # of a tile
    rows: int  # of a tile
    tiles_y: int
    tiles: int
    slots: int  # rows of a plane
    plane: int  # entries of a plane
    positions: int  # of a tile
    panels: int
    panel: int  # positions of a panel
    block: int  # channels of a block
    blocks: int
    block_rows: int  # rows of â
    out_rows: int  # rows of out̂
    block_weights: int  # entries of a block's weights
    columns: int  # entries that one position has in the transposed out̂
    block_sums: int  # entries of a block's kernel gradient


class Tables(NamedTuple):
    """Tables for compiled kernels; int64."""

    reads: Any  # (k², |H|) where offset M_s t of pose s begins in the planes
    slot_rows: Any  # (slots,) the input row, relative to the first row of the tile
    shifts: Any  # (k,) the input column that column j of the kernel reads for output column 0
    masks: Any  # (k, vectors) a bit for each output column: whether that input column lies in the map
    starts: Any  # (|H|,) row of â of each row of the transform
    strides: Any  # (|H|,) rows of â from channel to channel
    out_starts: Any  # (|H|,) row of out̂ of each row of the transform
    column_starts: (
        Any  # (|H|, 2) in the transposed out̂: where the first position lies, entries from position to position
    )
    products: Any  # one row a product; see `Product`


class Product(NamedTuple):
    """A product of a block, of one irrep and one row a of it: what a row of ``products`` holds."""

    depth: int  # rows of â a channel
    start: int  # first row of â
    rows: int  # rows of weights, d·O
    out_start: int  # first row of out̂
    weights: int  # where the weights begin
    height: int  # of a tile
    tiles: int
    columns_start: int  # in the transposed out̂
    columns: int  # (b, output channel), filled up to whole vectors
    sums: int  # where the kernel's gradient begins


class Plan(NamedTuple):
    """Tiling and tables of a problem."""

    tiling: Tiling
    tables: Tables


def channel_block(group: FiniteGroup, channels: int, kernel_size: int, itemsize: int) -> int:
    """How many channels are transformed at a time, so that â stays in the core's own cache."""
    most = max(1, BLOCK_BYTES // (group.order * kernel_size**2 * MAX_POSITIONS * itemsize))
    return ceil(channels / ceil(channels / most))


def irrep_products(group: FiniteGroup, outputs: int, offsets: int, block: int, lane: int, positions: int) -> Any:
    """The products of a block, and the sizes they add up to: rows of â and out̂, weights, columns, sums."""
    products, start, out_start, weights, columns_start, sums = [], 0, 0, 0, 0, 0
    for irrep in real_irreps(group):
        depth, rows = irrep.dimension * offsets, irrep.dimension * outputs
        height = best_height(rows)
        tiles, columns = ceil(rows / height), ceil(rows / lane) * lane
        for _ in range(irrep.rows):
            products.append(
                Product(depth, start, rows, out_start, weights, height, tiles, columns_start, columns, sums)
            )
            start, out_start = start + depth * block, out_start + height * tiles
            columns_start += columns * positions
        weights, sums = weights + height * tiles * depth * block, sums + columns * depth * block
    return products, start, out_start, weights, columns_start, sums


@lru_cache(256)
def plan_of(problem: Problem, kind: Any) -> Plan:
    """The plan of a problem for numbers of a kind."""
    group, side = problem.group, problem.kernel_size
    lane, panel = lanes(kind), panel_width(kind)
    samples, rows = _tile_of(problem, lane, panel)
    tiles_y = ceil(problem.out_height / rows)
    positions = samples * rows * problem.out_width
    panels = ceil(positions / panel)
    # rows of the input in phases of the stride: offset i reads the phase i·d mod s, from its row i·d div s on
    reach = [divmod(i * problem.dilation[0], problem.stride[0]) for i in range(side)]
    phases = sorted({phase for _, phase in reach})
    length = max(row for row, _ in reach) + rows
    row_size = samples * problem.out_width
    plane = length * len(phases) * row_size
    slot_rows = [problem.stride[0] * row + phase - problem.padding[0] for phase in phases for row in range(length)]
    orbit = orbit_index(group, side).numpy()
    starts_y = np.array([(phases.index(phase) * length + row) * row_size for row, phase in reach])
    reads = (np.arange(group.order) * side + orbit % side) * plane + starts_y[orbit // side]
    shifts, masks = [], []
    for j in range(side):
        shifts.append(j * problem.dilation[1] - problem.padding[1])
        columns = shifts[-1] + problem.stride[1] * np.arange(ceil(problem.out_width / lane) * lane)
        inside = (columns >= 0) & (columns < problem.width) & (np.arange(len(columns)) < problem.out_width)
        masks.append(inside.reshape(-1, lane) @ (1 << np.arange(lane)))
    block = channel_block(group, problem.channels, side, kind.itemsize)
    products, block_rows, out_rows, weights, columns, sums = irrep_products(
        group, problem.outputs, side * side, block, lane, panels * panel
    )
    starts, strides, out_starts, column_starts, at = [], [], [], [], iter(products)
    for irrep in real_irreps(group):
        for _ in range(irrep.rows):
            product = next(at)
            for k in range(irrep.dimension):
                starts.append(product.start + k * side * side)
                strides.append(product.depth)
                out_starts.append(product.out_start + k * problem.outputs)
                column_starts.append((product.columns_start + k * problem.outputs, product.columns))
    tiling = Tiling(
        *(group.order, problem.channels, problem.outputs, side * side, side, problem.batch),
        *(problem.height, problem.width, problem.out_height, problem.out_width, *problem.stride),
        *(samples, rows, tiles_y, ceil(problem.batch / samples) * tiles_y),
        *(length * len(phases), plane, positions, panels, panel),
        *(block, ceil(problem.channels / block), block_rows, out_rows, weights, columns, sums),
    )
    tables = (reads, slot_rows, shifts, masks, starts, strides, out_starts, column_starts, products)
    return Plan(tiling, Tables(*(np.ascontiguousarray(table, np.int64) for table in tables)))


def _tile_of(problem: Problem, lane: int, panel: int) -> Pair:
    """Samples and rows of a tile: rows of one map, or several whole maps, whichever wastes least."""
    height, width, batch = problem.out_height, problem.out_width, problem.batch
    size = height * width
    most = max(1, MAX_POSITIONS // width)
    choices = {(1, ceil(height / tiles)) for tiles in range(ceil(height / most), ceil(height / most) + 8)}
    if size <= MAX_POSITIONS:
        few = ceil(batch * size / MAX_POSITIONS)
        choices |= {(ceil(batch / tiles), height) for tiles in range(few, few + 8)}
    fitting = {(samples, rows) for samples, rows in choices if samples * rows * width <= max(MAX_POSITIONS, width)}
    return min(fitting, key=lambda tile: (_tile_cost(problem, tile[0], tile[1], lane, panel), tile))


def _tile_cost(problem: Problem, samples: int, rows: int, lane: int, panel: int) -> float:
    """Cycles that a batch takes, about: products and transforms of whole panels, and copies of rows."""
    side = problem.kernel_size
    irreps = real_irreps(problem.group)
    products = problem.outputs * sum(irrep.dimension**2 * irrep.rows for irrep in irreps)
    vectors = ceil(samples * rows * problem.out_width / panel) * panel / lane
    tiles = ceil(problem.out_height / rows) * ceil(problem.batch / samples)
    seen = (side - 1) * problem.dilation[0] + rows * problem.stride[0]
    copies = seen * samples * ceil(problem.out_width / lane)
    transforms = 4 * problem.group.order
    return tiles * (side**2 * vectors * (products + transforms) + 6 * problem.group.order * side * copies + 200)
