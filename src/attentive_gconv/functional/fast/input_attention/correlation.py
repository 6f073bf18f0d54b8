"""Correlation of a few maps that fit in cache, and its two gradients, compiled.

A map lies in a plane with a border of zeros, ``row`` numbers to a row. Seen as one long row, the plane is correlated by
shifting it: entry (i, j) of a kernel meets all positions at the shift ``i·step_y·row + j·step_x``. What is computed for
the border columns between the rows is never read. Outputs come in blocks of four, filled up with kernels of zeros.

    forward            out[o, q] = Σ_{i,k} w[o, i, k]·x[i, q + shift_k]
    of the input       dx[i, q] = Σ_{o,k} w[o, i, K - 1 - k]·g[o, q + shift_k]       g in a plane with the same border
    of the kernel      dw[o, i, k] = Σ_q g[o, start + q]·x[i, q + shift_k]       start: where the first position lies

The border is as wide as kernels of odd size need to keep the size of the map.
"""

from typing import Any, NamedTuple

import numpy as np

from attentive_gconv.functional.fast.numba_runtime.jit import in_order
from attentive_gconv.functional.fast.numba_runtime.simd import fma, lanes_of, load, splat, store, total

BLOCK = 4
PAIR = 2  # vectors computed side by side


class Plane(NamedTuple):
    """How a map lies in its plane; sizes count numbers."""

    height: int
    width: int
    row: int
    start: int
    length: int  # of a row of results: whole pairs of vectors
    size: int
    side: int  # of the kernel
    step_y: int
    step_x: int


def plane_of(height: int, width: int, side: int, dilation: tuple[int, int], lanes: int) -> Plane:
    """The plane for a map and a kernel of odd side.

    Example:
        >>> plane_of(4, 4, 3, (1, 1), 8)
        Plane(height=4, width=4, row=6, start=7, length=32, size=46, side=3, step_y=1, step_x=1)
    """
    border_y, border_x = (step * (side // 2) for step in dilation)
    row, pair = width + 2 * border_x, PAIR * lanes
    length = -(-height * row // pair) * pair
    size = length + 2 * border_y * row + 2 * border_x
    return Plane(height, width, row, border_y * row + border_x, length, size, side, *dilation)


@in_order
def shifts_of(plane: Plane) -> Any:
    """Where each entry of the kernel looks."""
    shifts = np.empty(plane.side * plane.side, np.int64)
    for i in range(plane.side):
        for j in range(plane.side):
            shifts[i * plane.side + j] = i * plane.step_y * plane.row + j * plane.step_x
    return shifts


@in_order
def in_blocks(kernel: Any, entries: int, backward: bool) -> Any:
    """A kernel (O, I·K) as ``(block, I, K, 4 outputs)``; backward: its axes exchanged and its entries reversed."""
    first, second = kernel.shape[0], kernel.shape[1] // entries
    outputs, inputs = (second, first) if backward else (first, second)
    taps = np.zeros(-(-outputs // BLOCK) * BLOCK * inputs * entries, kernel.dtype)
    for o in range(outputs):
        for i in range(inputs):
            for k in range(entries):
                at = ((o // BLOCK * inputs + i) * entries + k) * BLOCK + o % BLOCK
                taps[at] = kernel[i, (o + 1) * entries - 1 - k] if backward else kernel[o, i * entries + k]
    return taps


@in_order
def fill(padded: Any, index: int, plane: Plane, values: Any) -> None:
    """Put a map (P,) into plane ``index``."""
    for y in range(plane.height):
        at = index * plane.size + plane.start + y * plane.row
        for x in range(plane.width):
            padded[at + x] = values[y * plane.width + x]


@in_order
def correlate(padded: Any, inputs: int, taps: Any, shifts: Any, plane: Plane, out: Any) -> None:
    """All outputs, ``(block·4, length)``, of the planes of the inputs."""
    step = lanes_of(out)
    entries = shifts.shape[0]
    block_size = inputs * entries * BLOCK
    zero = splat(out.dtype.type(0))
    for block in range(taps.shape[0] // block_size):
        for q in range(0, plane.length, PAIR * step):
            f0, f1, f2, f3 = zero, zero, zero, zero
            g0, g1, g2, g3 = zero, zero, zero, zero
            t = block * block_size
            for i in range(inputs):
                base = i * plane.size + q
                for k in range(entries):
                    here = load(padded, base + shifts[k])
                    there = load(padded, base + shifts[k] + step)
                    w = splat(taps[t])
                    f0, g0 = fma(w, here, f0), fma(w, there, g0)
                    w = splat(taps[t + 1])
                    f1, g1 = fma(w, here, f1), fma(w, there, g1)
                    w = splat(taps[t + 2])
                    f2, g2 = fma(w, here, f2), fma(w, there, g2)
                    w = splat(taps[t + 3])
                    f3, g3 = fma(w, here, f3), fma(w, there, g3)
                    t += BLOCK
            at = block * BLOCK * plane.length + q
            store(out, at, f0)
            store(out, at + step, g0)
            at += plane.length
            store(out, at, f1)
            store(out, at + step, g1)
            at += plane.length
            store(out, at, f2)
            store(out, at + step, g2)
            at += plane.length
            store(out, at, f3)
            store(out, at + step, g3)


@in_order
def add_kernel_gradient(
    padded: Any, inputs: int, grad: Any, outputs: int, shifts: Any, plane: Plane, gradient: Any
) -> None:
    """Add the kernel's gradient to ``gradient (I·K, block·4)``; grad holds planes, zero in the borders."""
    step = lanes_of(padded)
    entries = shifts.shape[0]
    last = inputs * entries - 1
    zero = splat(padded.dtype.type(0))
    for tap in range(0, last + 1, 2):
        other = min(tap + 1, last)
        near = tap // entries * plane.size + shifts[tap % entries]
        far = other // entries * plane.size + shifts[other % entries]
        for block in range(-(-outputs // BLOCK)):
            # behind the last output that one again, to be left out
            o0 = block * BLOCK
            o1, o2, o3 = min(o0 + 1, outputs - 1), min(o0 + 2, outputs - 1), min(o0 + 3, outputs - 1)
            f0, f1, f2, f3 = zero, zero, zero, zero
            g0, g1, g2, g3 = zero, zero, zero, zero
            for q in range(0, plane.length, step):
                here, there = load(padded, near + q), load(padded, far + q)
                at = plane.start + q
                g = load(grad, o0 * plane.size + at)
                f0, g0 = fma(here, g, f0), fma(there, g, g0)
                g = load(grad, o1 * plane.size + at)
                f1, g1 = fma(here, g, f1), fma(there, g, g1)
                g = load(grad, o2 * plane.size + at)
                f2, g2 = fma(here, g, f2), fma(there, g, g2)
                g = load(grad, o3 * plane.size + at)
                f3, g3 = fma(here, g, f3), fma(there, g, g3)
            target = gradient[tap]
            target[o0] += total(f0)
            target[o0 + 1] += total(f1)
            target[o0 + 2] += total(f2)
            target[o0 + 3] += total(f3)
            if other != tap:
                target = gradient[other]
                target[o0] += total(g0)
                target[o0 + 1] += total(g1)
                target[o0 + 2] += total(g2)
                target[o0 + 3] += total(g3)
