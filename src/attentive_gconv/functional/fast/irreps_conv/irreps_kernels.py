"""Compiled kernels of the group convolution by irreducible representations: forward, and the kernel's gradient.

Tile by tile: copy the input's channels into planes, transform them into â, multiply by the packed weights, transform
back. Memory and names: `...tiling`. Arrays are one-dimensional and contiguous. Each kernel works on the tiles ``start
… stop - 1`` and releases the interpreter lock.
"""

from typing import Any

import numpy as np

from attentive_gconv.functional.fast.irreps_conv.butterflies import transform, transpose
from attentive_gconv.functional.fast.irreps_conv.masked_rows import load_masked, store_masked
from attentive_gconv.functional.fast.irreps_conv.register_tiles import (
    MAX_HEIGHT,
    PANEL_VECTORS,
    multiply_panel,
    multiply_rows,
    multiply_rows_once,
)
from attentive_gconv.functional.fast.irreps_conv.tiling import Tables, Tiling
from attentive_gconv.functional.fast.numba_runtime.aligned_memory import aligned_empty, aligned_zeros
from attentive_gconv.functional.fast.numba_runtime.jit import in_order
from attentive_gconv.functional.fast.numba_runtime.regions import Run, run_region
from attentive_gconv.functional.fast.numba_runtime.simd import lanes_of, load, splat, store

DEPTH, START, ROWS, OUT_START, WEIGHTS, HEIGHT, TILES, COLUMNS_START, COLUMNS, SUMS = range(10)


@in_order
def _fill(planes: Any, x: Any, channel: int, sample: int, row: int, tiling: Tiling, tables: Tables) -> None:
    """Copy what a tile sees of one channel into its planes.

    Rows are written by whole vectors: what is too much lies in the next row, which comes later, or behind the planes.
    """
    vector, nothing = lanes_of(x), splat(x.dtype.type(0))
    masks, shifts, slot_rows = tables.masks, tables.shifts, tables.slot_rows
    height, row_size, width, samples = tiling.height, tiling.width, tiling.out_width, tiling.samples
    inside, step, slots = min(samples, tiling.batch - sample), tiling.stride_x, tiling.slots
    size = height * row_size
    jump = tiling.channels * tiling.order * size
    first_row = row * tiling.stride_y
    at = 0
    for pose in range(tiling.order):
        base = ((sample * tiling.channels + channel) * tiling.order + pose) * size
        for j in range(tiling.side):
            first, mask = shifts[j], masks[j]
            for slot in range(slots):
                y = first_row + slot_rows[slot]
                seen = inside if 0 <= y < height else 0
                source = base + y * row_size + first
                for _ in range(seen):
                    if step == 1:
                        for i in range(mask.shape[0]):
                            store(planes, at + i * vector, load_masked(x, source + i * vector, mask[i]))
                    else:
                        for i in range(width):
                            inner = mask[i // vector] >> (i % vector) & 1
                            planes[at + i] = x[source + i * step] if inner else x.dtype.type(0)
                    at += width
                    source += jump
                if seen < samples:
                    for i in range(0, (samples - seen) * width, vector):
                        store(planes, at + i, nothing)
                    at += (samples - seen) * width


@in_order
def _transform_block(
    x: Any, first: int, count: int, sample: int, row: int, tiling: Tiling, tables: Tables, program: Any, planes: Any,
    rows: Any, transformed: Any,
) -> None:  # fmt: skip
    """â of the channels first … first + count - 1."""
    for c in range(count):
        _fill(planes, x, first + c, sample, row, tiling, tables)
        for i in range(tiling.order):
            rows[i] = (tables.starts[i] + c * tables.strides[i]) * tiling.panel
        for t in range(tiling.offsets):
            transform(
                program, planes, 0, tiling.panel, tables.reads[t], transformed, t * tiling.panel,
                tiling.block_rows * tiling.panel, rows, tiling.panels,
            )  # fmt: skip


@in_order
def _forward(
    slot: int, start: int, stop: int, program: Any, tiling: Tiling, tables: Tables, x: Any, weights: Any, bias: Any,
    out: Any,
) -> None:  # fmt: skip
    """The output of some tiles; bias (O,) or empty."""
    panel = tiling.panel
    padded = tiling.panels * panel
    planes = aligned_zeros(tiling.order * tiling.side * tiling.plane + padded, x)
    transformed = aligned_empty(tiling.panels * tiling.block_rows * panel, x)
    product = aligned_empty(tiling.panels * tiling.out_rows * panel, x)
    maps = aligned_empty(tiling.order * padded, x)
    rows, poses = np.empty(tiling.order, np.int64), np.arange(tiling.order) * padded
    for task in range(start, stop):
        sample, row = task // tiling.tiles_y * tiling.samples, task % tiling.tiles_y * tiling.rows
        for block in range(tiling.blocks):
            first = block * tiling.block
            count = min(tiling.block, tiling.channels - first)
            _transform_block(x, first, count, sample, row, tiling, tables, program, planes, rows, transformed)
            for i in range(tables.products.shape[0]):
                p = tables.products[i]
                height, depth = p[HEIGHT], p[DEPTH]
                for j in range(tiling.panels):
                    values = (j * tiling.block_rows + p[START]) * panel
                    for tile in range(p[TILES]):
                        weight = block * tiling.block_weights + p[WEIGHTS] + tile * depth * tiling.block * height
                        to = (j * tiling.out_rows + p[OUT_START] + tile * height) * panel
                        multiply_panel(
                            height, weights, weight, 0, transformed, values, 0, panel, 1, depth * count,
                            product, to, panel, block == 0,
                        )  # fmt: skip
        for o in range(tiling.outputs):
            for i in range(tiling.order):
                rows[i] = (tables.out_starts[i] + o) * panel
            transpose(program, product, 0, tiling.out_rows * panel, rows, maps, 0, panel, poses, tiling.panels)
            shift = bias[o] if bias.shape[0] > 0 else x.dtype.type(0)
            _write(maps, padded, o, sample, row, shift, bias.shape[0] > 0, tiling, out)


@in_order
def _write(
    maps: Any, padded: int, o: int, sample: int, row: int, shift: Any, shifted: bool, tiling: Tiling, out: Any
) -> None:  # fmt: skip
    """Write a tile's maps (|H|, positions) of one output channel to the output."""
    vector, width = lanes_of(maps), tiling.out_width
    samples = min(tiling.samples, tiling.batch - sample)
    rows = min(tiling.rows, tiling.out_height - row)
    if shifted:
        for i in range(maps.shape[0]):
            maps[i] += shift
    for pose in range(tiling.order):
        for n in range(samples):
            to = (((sample + n) * tiling.outputs + o) * tiling.order + pose) * tiling.out_height * width + row * width
            at = pose * padded + n * width
            # rows of one sample follow each other without a gap
            length, times = (rows * width, 1) if tiling.samples == 1 else (width, rows)
            for _ in range(times):
                for i in range(0, length - vector + 1, vector):
                    store(out, to + i, load(maps, at + i))
                if length % vector > 0:
                    whole = length - length % vector
                    store_masked(out, to + whole, (1 << length % vector) - 1, load(maps, at + whole))
                to += width
                at += tiling.samples * width


@in_order
def _read(grad: Any, o: int, sample: int, row: int, tiling: Tiling, maps: Any, padded: int) -> None:
    """The transpose of `_write`: a tile of the output's gradient, zero outside the map."""
    width = tiling.out_width
    rows = min(tiling.rows, tiling.out_height - row)
    for pose in range(tiling.order):
        at = pose * padded
        for y in range(tiling.rows):
            for n in range(tiling.samples):
                if y < rows and sample + n < tiling.batch:
                    source = (((sample + n) * tiling.outputs + o) * tiling.order + pose) * tiling.out_height
                    source = (source + row + y) * width
                    maps[at : at + width] = grad[source : source + width]
                else:
                    maps[at : at + width] = maps.dtype.type(0)
                at += width


@in_order
def _spectrum(
    grad: Any, sample: int, row: int, program: Any, tiling: Tiling, tables: Tables, maps: Any, spectrum: Any,
    poses: Any, columns: Any,
) -> None:  # fmt: skip
    """The transform of a tile's output gradient, transposed: for each position (b, output channel)."""
    padded = tiling.panels * tiling.panel
    for o in range(tiling.outputs):
        _read(grad, o, sample, row, tiling, maps, padded)
        transform(program, maps, 0, tiling.panel, poses, spectrum, 0, tiling.panel, poses, tiling.panels)
        for i in range(tiling.order):
            to, step, at = tables.column_starts[i, 0] + o, tables.column_starts[i, 1], i * padded
            for position in range(tiling.positions):
                columns[to + position * step] = spectrum[at + position]


@in_order
def _add_products(
    height: int, values: int, transformed: Any, seen: int, width: int, columns: Any, tiling: Tiling, total: Any,
    to: int, vectors: int,
) -> None:  # fmt: skip
    """Add ``height`` rows of â times some vectors of the transposed out̂, over the positions, to the gradient."""
    panel, jump = tiling.panel, tiling.block_rows * tiling.panel
    whole = tiling.positions // panel
    rest = tiling.positions - whole * panel
    far = panel * width
    last, beyond = values + whole * jump, seen + whole * far
    if vectors == PANEL_VECTORS:
        multiply_rows(height, transformed, values, jump, columns, seen, far, width, whole, panel, total, to, width, 0)
        multiply_rows(height, transformed, last, 0, columns, beyond, 0, width, 1, rest, total, to, width, 0)
    else:
        multiply_rows_once(
            height, transformed, values, jump, columns, seen, far, width, whole, panel, total, to, width, 0
        )
        multiply_rows_once(height, transformed, last, 0, columns, beyond, 0, width, 1, rest, total, to, width, 0)


@in_order
def _kernel_gradient(
    slot: int, start: int, stop: int, program: Any, tiling: Tiling, tables: Tables, x: Any, grad: Any, sums: Any
) -> None:
    """Add up the gradient of the transformed kernel over some tiles, in ``sums[slot]``.

    For each block of channels and irrep: (channel, k, offset) × (b, output channel), filled up to vectors.
    """
    panel = tiling.panel
    padded = tiling.panels * panel
    vector = lanes_of(x)
    total = sums[slot]
    total[:] = x.dtype.type(0)
    planes = aligned_zeros(tiling.order * tiling.side * tiling.plane + padded, x)
    transformed = aligned_empty(tiling.panels * tiling.block_rows * panel, x)
    maps, spectrum = aligned_empty(tiling.order * padded, x), aligned_empty(tiling.order * padded, x)
    columns = aligned_zeros(tiling.columns, x)
    rows, poses = np.empty(tiling.order, np.int64), np.arange(tiling.order) * padded
    for task in range(start, stop):
        sample, row = task // tiling.tiles_y * tiling.samples, task % tiling.tiles_y * tiling.rows
        _spectrum(grad, sample, row, program, tiling, tables, maps, spectrum, poses, columns)
        for block in range(tiling.blocks):
            first = block * tiling.block
            count = min(tiling.block, tiling.channels - first)
            _transform_block(x, first, count, sample, row, tiling, tables, program, planes, rows, transformed)
            for i in range(tables.products.shape[0]):
                p = tables.products[i]
                width, target = p[COLUMNS], block * tiling.block_sums + p[SUMS]
                for r in range(0, p[DEPTH] * count, MAX_HEIGHT):
                    height, values = min(MAX_HEIGHT, p[DEPTH] * count - r), (p[START] + r) * panel
                    for v in range(0, width, PANEL_VECTORS * vector):
                        _add_products(
                            height, values, transformed, p[COLUMNS_START] + v, width, columns, tiling, total,
                            target + r * width + v, min(PANEL_VECTORS, (width - v) // vector),
                        )  # fmt: skip


@in_order
def forward(
    run: Run, program: Any, tiling: Tiling, tables: Tables, x: Any, weights: Any, bias: Any, out: Any
) -> None:  # fmt: skip
    """`_forward` on the threads of a run."""
    run_region(_forward, run, (program, tiling, tables, x, weights, bias, out))


@in_order
def kernel_gradient(run: Run, program: Any, tiling: Tiling, tables: Tables, x: Any, grad: Any, sums: Any) -> None:
    """`_kernel_gradient` on the threads of a run."""
    run_region(_kernel_gradient, run, (program, tiling, tables, x, grad, sums))
