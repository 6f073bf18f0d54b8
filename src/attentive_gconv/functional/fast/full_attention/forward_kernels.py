"""Compiled CPU kernels of the streaming form: one vector of outputs at a time, everything of a task in cache.

Outputs m = (o, h) are cut into blocks of as many as one vector holds; "block" is the number of such a block, and a row
of any array is its L = `lanes` outputs. An input sample is then a scalar that multiplies a row of weights, maxima and
their places stay in registers, and nothing depends on the width of the map: small maps run as fast as large ones.

Each kernel works on the tasks ``start … stop - 1`` and releases the interpreter lock, so that threads of this process
share the work; ``slot`` numbers the chunk of tasks and selects its own accumulators. Names are those of
`...full_attention.streaming`; arrays are flat, in the order that the kernels' docstrings give, with
the sizes in a `Sizes`. Positions come in fours, or in twos where each needs many registers; behind the last one it is
computed again, which changes nothing.

In inference nothing is kept for backward: the arrays for it are None, and the kernels are compiled without the places
of maxima, which cost more than the maxima.

NaN: comparisons ignore it; the maxima over positions take it from the means, and those over channels stand beside means
that carry it into the same gates.
"""

from typing import Any

import numpy as np

from attentive_gconv.functional.fast.full_attention.gate_kernels import channel_gate
from attentive_gconv.functional.fast.numba_runtime.aligned_memory import aligned_empty, aligned_zeros
from attentive_gconv.functional.fast.numba_runtime.jit import in_order
from attentive_gconv.functional.fast.numba_runtime.logistic import logistic
from attentive_gconv.functional.fast.numba_runtime.regions import Run, run_region
from attentive_gconv.functional.fast.numba_runtime.simd import (
    add,
    divide,
    first_place,
    fma,
    lanes_of,
    load,
    multiply,
    splat,
    splat_integer,
    spread,
    store,
    store_integers,
    where_at_most,
    where_greater,
)

CACHED_BYTES = 1 << 19  # of responses, in the core's own cache; more has to be computed again to be seen again


@in_order
def _four_responses(x: Any, start: int, offsets: Any, b0: int, b1: int, b2: int, b3: int, w: Any, row: int) -> Any:
    """f~ at four positions: Σ_t w[t]·x[base + offset[t]]."""
    step = lanes_of(w)
    zero = splat(w.dtype.type(0))
    f0 = zero
    f1 = zero
    f2 = zero
    f3 = zero
    for t in range(offsets.shape[0]):
        at = start + offsets[t]
        weight = load(w, row + t * step)
        f0 = fma(weight, spread(x, at + b0), f0)
        f1 = fma(weight, spread(x, at + b1), f1)
        f2 = fma(weight, spread(x, at + b2), f2)
        f3 = fma(weight, spread(x, at + b3), f3)
    return f0, f1, f2, f3


@in_order
def _two_responses(x: Any, start: int, offsets: Any, b0: int, b1: int, w: Any, row: int) -> Any:
    """f~ at two positions."""
    step = lanes_of(w)
    f0 = splat(w.dtype.type(0))
    f1 = f0
    for t in range(offsets.shape[0]):
        at = start + offsets[t]
        weight = load(w, row + t * step)
        f0 = fma(weight, spread(x, at + b0), f0)
        f1 = fma(weight, spread(x, at + b1), f1)
    return f0, f1


@in_order
def _larger(f: Any, top: Any, number: int, place: Any) -> Any:
    """The maximum of what there was and f, and its place, unless that is None; f's place is this number."""
    return where_greater(f, top, f, top), where_greater(f, top, splat_integer(number, f), place)


@in_order
def _statistics(
    x: Any, plane: int, offsets: Any, bases: Any, w: Any, row: int, cached: Any, at: int, places: Any
) -> Any:  # fmt: skip
    """Mean and maximum of f~ over the positions, and the first position of the maximum, unless ``places`` is None.

    f~ itself goes to ``cached[at:]``, if there is such a place.
    """
    step = lanes_of(w)
    zero = splat(w.dtype.type(0))
    top = splat(w.dtype.type(-np.inf))
    place = first_place(places, zero)
    summed = zero
    last = bases.shape[0] - 1
    for p in range(0, last + 1, 4):
        p1, p2, p3 = min(p + 1, last), min(p + 2, last), min(p + 3, last)
        f0, f1, f2, f3 = _four_responses(x, plane, offsets, bases[p], bases[p1], bases[p2], bases[p3], w, row)
        if cached.shape[0] > 0:
            store(cached, at + p * step, f0)
            store(cached, at + p1 * step, f1)
            store(cached, at + p2 * step, f2)
            store(cached, at + p3 * step, f3)
        top, place = _larger(f0, top, p, place)
        top, place = _larger(f1, top, p1, place)
        top, place = _larger(f2, top, p2, place)
        top, place = _larger(f3, top, p3, place)
        summed = add(summed, f0)
        if p + 3 <= last:
            summed = add(summed, add(f1, add(f2, f3)))
        else:
            if p + 1 <= last:
                summed = add(summed, f1)
            if p + 2 <= last:
                summed = add(summed, f2)
    mean = divide(summed, splat(w.dtype.type(last + 1)))
    return mean, where_at_most(mean, mean, top, mean), place


@in_order
def _take(f: Any, gate: Any, number: int, value: Any, top: Any, index: Any) -> Any:
    """Add one channel's u = α_C·f~ to V, and its maximum to T with its number."""
    u = multiply(gate, f)
    largest, place = _larger(u, top, number, index)
    return add(value, u), largest, place


@in_order
def _keep(
    value: Any, top: Any, index: Any, plain: Any, p: int, q: int, flags: Any, factors: Any, v: Any, t: Any,
    chosen: Any, kept: int, result: Any,
) -> None:  # fmt: skip
    """Store what one position has: V and T in their padded maps, the channel of T, and the part of the output."""
    step = lanes_of(v)
    out = fma(splat(factors[0]), plain, load(result, p * step))
    if flags.spatial:
        store(v, q * step, value)
        store(t, q * step, top)
        if chosen is not None:
            store_integers(chosen, kept + p * step, index)
    else:
        out = fma(splat(factors[1]), value, out)
    store(result, p * step, out)


@in_order
def _responses(
    x: Any, first: int, offsets: Any, bases: Any, map_bases: Any, w: Any, row: int, gate: Any, sizes: Any, flags: Any,
    factors: Any, v: Any, t: Any, chosen: Any, kept: int, result: Any, cached: Any,
) -> None:  # fmt: skip
    """V, T and the channel of T at every position, and the plain response's part of the output.

    f~ is taken from ``cached``, if it is there.
    """
    step = lanes_of(w)
    zero, lowest = splat(w.dtype.type(0)), splat(w.dtype.type(-np.inf))
    none = first_place(chosen, zero)
    last, here = sizes.positions - 1, sizes.map_centre
    for p in range(0, sizes.positions, 2):
        q = min(p + 1, last)
        v0, t0, i0, s0 = zero, lowest, none, zero
        v1, t1, i1, s1 = zero, lowest, none, zero
        for i in range(sizes.channels):
            if cached.shape[0] > 0:
                at = i * sizes.positions
                f0, f1 = load(cached, (at + p) * step), load(cached, (at + q) * step)
            else:
                plane, taps = first + i * sizes.plane, row + i * sizes.taps * step
                f0, f1 = _two_responses(x, plane, offsets, bases[p], bases[q], w, taps)
            a = load(gate, i * step)
            s0, s1 = add(s0, f0), add(s1, f1)
            v0, t0, i0 = _take(f0, a, i, v0, t0, i0)
            v1, t1, i1 = _take(f1, a, i, v1, t1, i1)
        _keep(v0, t0, i0, s0, p, here + map_bases[p], flags, factors, v, t, chosen, kept, result)
        if q > p:
            _keep(v1, t1, i1, s1, q, here + map_bases[q], flags, factors, v, t, chosen, kept, result)


@in_order
def _four_logits(v: Any, t: Any, map_offsets: Any, b0: int, b1: int, b2: int, b3: int, psi: Any, row: int) -> Any:
    """The logits of α_X at four positions: both statistics' maps correlated with their kernels."""
    step = lanes_of(psi)
    zero = splat(psi.dtype.type(0))
    z0 = zero
    z1 = zero
    z2 = zero
    z3 = zero
    for tap in range(map_offsets.shape[0]):
        at = map_offsets[tap]
        of_mean, of_top = load(psi, row + 2 * tap * step), load(psi, row + (2 * tap + 1) * step)
        z0 = fma(of_top, load(t, (at + b0) * step), fma(of_mean, load(v, (at + b0) * step), z0))
        z1 = fma(of_top, load(t, (at + b1) * step), fma(of_mean, load(v, (at + b1) * step), z1))
        z2 = fma(of_top, load(t, (at + b2) * step), fma(of_mean, load(v, (at + b2) * step), z2))
        z3 = fma(of_top, load(t, (at + b3) * step), fma(of_mean, load(v, (at + b3) * step), z3))
    return z0, z1, z2, z3


@in_order
def _attend(
    z: Any, p: int, q: int, factors: Any, constants: Any, v: Any, t: Any, value: Any, top: Any,
    alpha: Any, kept: int, result: Any,
) -> None:  # fmt: skip
    """α_X of one position, its part of the output, and what is kept of it."""
    step = lanes_of(v)
    a, here = logistic(z, constants), load(v, q * step)
    store(result, p * step, fma(splat(factors[1]), multiply(a, here), load(result, p * step)))
    if value is not None:
        store(value, kept + p * step, here)
        store(top, kept + p * step, load(t, q * step))
        store(alpha, kept + p * step, a)


@in_order
def _forward(
    slot: int, start: int, stop: int, x: Any, w: Any, fc1: Any, fc2: Any, psi: Any, offsets: Any, bases: Any,
    map_offsets: Any, map_bases: Any, sizes: Any, flags: Any, factors: Any, constants: Any, out: Any, value: Any,
    top: Any, alpha: Any, chosen: Any, mean: Any, maximum: Any, position: Any,
) -> None:  # fmt: skip
    """The attended responses of tasks (sample, block); writes `out` and what backward needs, unless that is None.

    x (B, G, I, N); w (block, G, I, K, L); fc1 (block, G, R, I, L); fc2 (block, G, I, R, L); psi (block, G, A, 2, L)
    with the mean's 1/I inside; out (B, M, P); value, top, alpha, chosen (B, block, G, P, L); mean, maximum, position
    (B, block, G, I, L). factors: scale·skip and scale·attended.
    """
    step = lanes_of(w)
    depth, channels, positions, taps = sizes.depth, sizes.channels, sizes.positions, sizes.taps
    v, t = aligned_zeros(sizes.map_plane * step, w), aligned_zeros(sizes.map_plane * step, w)
    result = aligned_zeros(positions * step, w)
    gates, means, tops = (
        aligned_zeros(channels * step, w),
        aligned_zeros(channels * step, w),
        aligned_zeros(channels * step, w),
    )
    gates[:] = 1
    # what the statistics are taken of is used again, as long as it stays in cache
    size = channels * positions * step
    cached = aligned_empty(size if flags.channel and size * w.itemsize <= CACHED_BYTES else 0, w)
    last = positions - 1
    for task in range(start, stop):
        b, block = task // sizes.blocks, task % sizes.blocks
        result[:] = 0
        for g in range(depth):
            here, first = block * depth + g, (b * depth + g) * channels * sizes.plane
            row = here * channels * taps * step
            kept = (task * depth + g) * step
            if flags.channel:
                for i in range(channels):
                    average, largest, place = _statistics(
                        x,
                        first + i * sizes.plane,
                        offsets,
                        bases,
                        w,
                        row + i * taps * step,
                        cached,
                        i * positions * step,
                        position,
                    )
                    store(means, i * step, average)
                    store(tops, i * step, largest)
                    if position is not None:
                        store_integers(position, kept * channels + i * step, place)
                gate_row = here * sizes.hidden * channels * step
                channel_gate(means, tops, fc1, gate_row, fc2, gate_row, sizes, constants, gates)
                if mean is not None:
                    at = kept * channels
                    mean[at : at + channels * step] = means
                    maximum[at : at + channels * step] = tops
            _responses(
                x, first, offsets, bases, map_bases, w, row, gates, sizes, flags, factors, v, t, chosen,
                kept * positions, result, cached,
            )  # fmt: skip
            if flags.spatial:
                psi_row = here * sizes.map_taps * 2 * step
                for p in range(0, positions, 4):
                    b0, b1 = map_bases[p], map_bases[min(p + 1, last)]
                    b2, b3 = map_bases[min(p + 2, last)], map_bases[min(p + 3, last)]
                    z0, z1, z2, z3 = _four_logits(v, t, map_offsets, b0, b1, b2, b3, psi, psi_row)
                    rest = (factors, constants, v, t, value, top, alpha, kept * positions, result)
                    _attend(z0, p, sizes.map_centre + b0, *rest)
                    if p + 1 <= last:
                        _attend(z1, p + 1, sizes.map_centre + b1, *rest)
                    if p + 2 <= last:
                        _attend(z2, p + 2, sizes.map_centre + b2, *rest)
                    if p + 3 <= last:
                        _attend(z3, p + 3, sizes.map_centre + b3, *rest)
        for lane in range(min(step, sizes.outputs - block * step)):
            at = (b * sizes.outputs + block * step + lane) * positions
            for p in range(positions):
                out[at + p] = result[p * step + lane]


@in_order
def forward(run: Run, *arguments: Any) -> None:
    """`_forward` on the threads of a run."""
    run_region(_forward, run, arguments)
