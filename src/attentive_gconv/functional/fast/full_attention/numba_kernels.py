"""Compiled CPU kernels of the streaming form: one vector of outputs at a time, everything of a task in cache.

Outputs m = (o, h) are cut into blocks of as many as one vector holds; "block" is the number of such a block, and a row
of any array is its L = `lanes` outputs. An input sample is then a scalar that multiplies a row of weights, maxima and
their places stay in registers, and nothing depends on the width of the map: small maps run as fast as large ones.

Each kernel works on the tasks ``start … stop - 1`` and releases the interpreter lock, so that threads of this process
share the work; ``slot`` numbers the chunk of tasks and selects its own accumulators. Names are those of
`...full_attention.streaming`; arrays are flat, in the order that the kernels' docstrings give, with
the sizes in a `Sizes`. Positions come in fours; behind the last one it is computed again, which changes nothing.

NaN: comparisons ignore it; the maxima over positions take it from the means, and those over channels stand beside means
that carry it into the same gates.
"""

from typing import Any, NamedTuple

import numpy as np

from attentive_gconv.functional.fast.numba_runtime.jit import in_order
from attentive_gconv.functional.fast.numba_runtime.logistic import logistic
from attentive_gconv.functional.fast.numba_runtime.regions import Run, run_region
from attentive_gconv.functional.fast.numba_runtime.simd import (
    add,
    divide,
    fma,
    lanes_of,
    load,
    load_integers,
    multiply,
    splat,
    splat_integer,
    store,
    store_integers,
    subtract,
    total,
    where_at_most,
    where_equal,
    where_greater,
)

CACHED_BYTES = 1 << 19  # of responses, in the core's own cache; more has to be computed again to be seen again


class Sizes(NamedTuple):
    """Sizes of a problem: see `attentive_gconv.functional.fast.full_attention.problem` and `...layout`."""

    depth: int  # G
    channels: int  # I
    blocks: int  # of outputs
    outputs: int  # M, without what fills the last block
    taps: int  # K
    positions: int  # P
    plane: int  # samples of a spread input plane, N
    hidden: int  # R
    map_taps: int  # A
    map_plane: int  # places of a padded map
    map_centre: int  # where the first position lies in a padded map


class Flags(NamedTuple):
    """Which parts the attention has, and whether forward keeps what backward needs."""

    channel: bool
    spatial: bool
    save: bool


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
        f0 = fma(weight, splat(x[at + b0]), f0)
        f1 = fma(weight, splat(x[at + b1]), f1)
        f2 = fma(weight, splat(x[at + b2]), f2)
        f3 = fma(weight, splat(x[at + b3]), f3)
    return f0, f1, f2, f3


@in_order
def _statistics(
    x: Any, plane: int, offsets: Any, bases: Any, w: Any, row: int, like: Any, cached: Any, at: int
) -> Any:  # fmt: skip
    """Mean and maximum of f~ over the positions, and the first position of the maximum.

    f~ itself goes to ``cached[at:]``, if there is such a place.
    """
    step = lanes_of(w)
    zero = splat(w.dtype.type(0))
    top = splat(w.dtype.type(-np.inf))
    place = splat_integer(0, like)
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
        place = where_greater(f0, top, splat_integer(p, like), place)
        top = where_greater(f0, top, f0, top)
        place = where_greater(f1, top, splat_integer(p1, like), place)
        top = where_greater(f1, top, f1, top)
        place = where_greater(f2, top, splat_integer(p2, like), place)
        top = where_greater(f2, top, f2, top)
        place = where_greater(f3, top, splat_integer(p3, like), place)
        top = where_greater(f3, top, f3, top)
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
def _rectified(h: Any, zero: Any) -> Any:
    """relu, through which NaN passes."""
    return where_at_most(h, zero, zero, h)


@in_order
def _hidden(fc1: Any, row: int, statistic: Any, hidden: int, channels: int, out: Any) -> None:
    """W1·s of one statistic, before the relu."""
    step = lanes_of(fc1)
    for r in range(hidden):
        h = splat(fc1.dtype.type(0))
        for i in range(channels):
            h = fma(load(fc1, row + (r * channels + i) * step), load(statistic, i * step), h)
        store(out, r * step, h)


@in_order
def _gate(mean: Any, top: Any, fc1: Any, row1: int, fc2: Any, row2: int, sizes: Any, constants: Any, out: Any) -> None:
    """α_C = σ(W2·relu(W1·mean) + W2·relu(W1·max))."""
    step = lanes_of(fc1)
    zero = splat(fc1.dtype.type(0))
    hidden = np.empty(sizes.hidden * step, fc1.dtype)
    other = np.empty(sizes.hidden * step, fc1.dtype)
    _hidden(fc1, row1, mean, sizes.hidden, sizes.channels, hidden)
    _hidden(fc1, row1, top, sizes.hidden, sizes.channels, other)
    for r in range(sizes.hidden):
        both = add(_rectified(load(hidden, r * step), zero), _rectified(load(other, r * step), zero))
        store(hidden, r * step, both)
    for i in range(sizes.channels):
        logit = zero
        for r in range(sizes.hidden):
            logit = fma(load(fc2, row2 + (i * sizes.hidden + r) * step), load(hidden, r * step), logit)
        store(out, i * step, logistic(logit, constants))


@in_order
def _take(f: Any, gate: Any, number: Any, value: Any, top: Any, index: Any) -> Any:
    """Add one channel's u = α_C·f~ to V, and its maximum to T with its number."""
    u = multiply(gate, f)
    return add(value, u), where_greater(u, top, u, top), where_greater(u, top, number, index)


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
        if flags.save:
            store_integers(chosen, kept + p * step, index)
    else:
        out = fma(splat(factors[1]), value, out)
    store(result, p * step, out)


@in_order
def _responses(
    x: Any, first: int, offsets: Any, bases: Any, map_bases: Any, w: Any, row: int, gate: Any, sizes: Any, flags: Any,
    factors: Any, v: Any, t: Any, chosen: Any, kept: int, result: Any, like: Any, cached: Any,
) -> None:  # fmt: skip
    """V, T and the channel of T at every position, and the plain response's part of the output.

    f~ is taken from ``cached``, if it is there.
    """
    step = lanes_of(w)
    zero, lowest, none = splat(w.dtype.type(0)), splat(w.dtype.type(-np.inf)), splat_integer(0, like)
    last = sizes.positions - 1
    for p in range(0, sizes.positions, 4):
        p1, p2, p3 = min(p + 1, last), min(p + 2, last), min(p + 3, last)
        b0, b1, b2, b3 = bases[p], bases[p1], bases[p2], bases[p3]
        v0, t0, i0, s0 = zero, lowest, none, zero
        v1, t1, i1, s1 = zero, lowest, none, zero
        v2, t2, i2, s2 = zero, lowest, none, zero
        v3, t3, i3, s3 = zero, lowest, none, zero
        for i in range(sizes.channels):
            if cached.shape[0] > 0:
                at = i * sizes.positions
                f0, f1 = load(cached, (at + p) * step), load(cached, (at + p1) * step)
                f2, f3 = load(cached, (at + p2) * step), load(cached, (at + p3) * step)
            else:
                f0, f1, f2, f3 = _four_responses(
                    x, first + i * sizes.plane, offsets, b0, b1, b2, b3, w, row + i * sizes.taps * step
                )
            a, number = load(gate, i * step), splat_integer(i, like)
            s0, s1, s2, s3 = add(s0, f0), add(s1, f1), add(s2, f2), add(s3, f3)
            v0, t0, i0 = _take(f0, a, number, v0, t0, i0)
            v1, t1, i1 = _take(f1, a, number, v1, t1, i1)
            v2, t2, i2 = _take(f2, a, number, v2, t2, i2)
            v3, t3, i3 = _take(f3, a, number, v3, t3, i3)
        here = sizes.map_centre
        _keep(v0, t0, i0, s0, p, here + map_bases[p], flags, factors, v, t, chosen, kept, result)
        if p + 1 <= last:
            _keep(v1, t1, i1, s1, p1, here + map_bases[p1], flags, factors, v, t, chosen, kept, result)
        if p + 2 <= last:
            _keep(v2, t2, i2, s2, p2, here + map_bases[p2], flags, factors, v, t, chosen, kept, result)
        if p + 3 <= last:
            _keep(v3, t3, i3, s3, p3, here + map_bases[p3], flags, factors, v, t, chosen, kept, result)


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
    z: Any, p: int, q: int, flags: Any, factors: Any, constants: Any, v: Any, t: Any, value: Any, top: Any,
    alpha: Any, kept: int, result: Any,
) -> None:  # fmt: skip
    """α_X of one position, its part of the output, and what is kept of it."""
    step = lanes_of(v)
    a, here = logistic(z, constants), load(v, q * step)
    store(result, p * step, fma(splat(factors[1]), multiply(a, here), load(result, p * step)))
    if flags.save:
        store(value, kept + p * step, here)
        store(top, kept + p * step, load(t, q * step))
        store(alpha, kept + p * step, a)


@in_order
def _forward(
    slot: int, start: int, stop: int, x: Any, w: Any, fc1: Any, fc2: Any, psi: Any, offsets: Any, bases: Any,
    map_offsets: Any, map_bases: Any, sizes: Any, flags: Any, factors: Any, constants: Any, out: Any, value: Any,
    top: Any, alpha: Any, chosen: Any, mean: Any, maximum: Any, position: Any,
) -> None:  # fmt: skip
    """The attended responses of tasks (sample, block); writes `out` and, if wanted, what backward needs.

    x (B, G, I, N); w (block, G, I, K, L); fc1 (block, G, R, I, L); fc2 (block, G, I, R, L); psi (block, G, A, 2, L)
    with the mean's 1/I inside; out (B, M, P); value, top, alpha, chosen (B, block, G, P, L); mean, maximum, position
    (B, block, G, I, L). factors: scale·skip and scale·attended.
    """
    step = lanes_of(w)
    like = splat(w.dtype.type(0))
    depth, channels, positions, taps = sizes.depth, sizes.channels, sizes.positions, sizes.taps
    v = np.zeros(sizes.map_plane * step, w.dtype)
    t = np.zeros(sizes.map_plane * step, w.dtype)
    result = np.zeros(positions * step, w.dtype)
    gates = np.ones(channels * step, w.dtype)
    means = np.zeros(channels * step, w.dtype)
    tops = np.zeros(channels * step, w.dtype)
    # what the statistics are taken of is used again, as long as it stays in cache
    size = channels * positions * step
    cached = np.empty(size if flags.channel and size * w.itemsize <= CACHED_BYTES else 0, w.dtype)
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
                        like,
                        cached,
                        i * positions * step,
                    )
                    store(means, i * step, average)
                    store(tops, i * step, largest)
                    if flags.save:
                        store_integers(position, kept * channels + i * step, place)
                gate_row = here * sizes.hidden * channels * step
                _gate(means, tops, fc1, gate_row, fc2, gate_row, sizes, constants, gates)
                if flags.save:
                    at = kept * channels
                    mean[at : at + channels * step] = means
                    maximum[at : at + channels * step] = tops
            _responses(
                x, first, offsets, bases, map_bases, w, row, gates, sizes, flags, factors, v, t, chosen,
                kept * positions, result, like, cached,
            )  # fmt: skip
            if flags.spatial:
                psi_row = here * sizes.map_taps * 2 * step
                for p in range(0, positions, 4):
                    b0, b1 = map_bases[p], map_bases[min(p + 1, last)]
                    b2, b3 = map_bases[min(p + 2, last)], map_bases[min(p + 3, last)]
                    z0, z1, z2, z3 = _four_logits(v, t, map_offsets, b0, b1, b2, b3, psi, psi_row)
                    rest = (flags, factors, constants, v, t, value, top, alpha, kept * positions, result)
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
def _into_blocks(slot: int, start: int, stop: int, planes: Any, sizes: Any, out: Any) -> None:
    """Planes (B, M, P) as rows (B, block, P, L), for tasks (sample, block); absent outputs stay as they are."""
    step = lanes_of(planes)
    for task in range(start, stop):
        b, block = task // sizes.blocks, task % sizes.blocks
        for lane in range(min(step, sizes.outputs - block * step)):
            at = (b * sizes.outputs + block * step + lane) * sizes.positions
            for p in range(sizes.positions):
                out[(task * sizes.positions + p) * step + lane] = planes[at + p]


@in_order
def _fill_map(source: Any, row: int, map_bases: Any, centre: int, out: Any) -> None:
    """Rows of positions into a padded map."""
    step = lanes_of(out)
    for p in range(map_bases.shape[0]):
        store(out, (centre + map_bases[p]) * step, load(source, row + p * step))


@in_order
def _transposed(dz: Any, map_offsets: Any, map_bases: Any, psi: Any, row: int, dv: Any, dt: Any) -> None:
    """dV += dwconvᵀ(dz, ψ_mean), dT = dwconvᵀ(dz, ψ_max): correlations with the reversed kernels."""
    step = lanes_of(dz)
    zero = splat(dz.dtype.type(0))
    last, taps = map_bases.shape[0] - 1, map_offsets.shape[0]
    for p in range(0, last + 1, 2):
        p1 = min(p + 1, last)
        b0, b1 = map_bases[p], map_bases[p1]
        v0, t0, v1, t1 = zero, zero, zero, zero
        for tap in range(taps):
            at, reverse = map_offsets[tap], row + 2 * (taps - 1 - tap) * step
            of_mean, of_top = load(psi, reverse), load(psi, reverse + step)
            d0, d1 = load(dz, (at + b0) * step), load(dz, (at + b1) * step)
            v0, t0 = fma(of_mean, d0, v0), fma(of_top, d0, t0)
            v1, t1 = fma(of_mean, d1, v1), fma(of_top, d1, t1)
        store(dt, p * step, t0)
        store(dt, p1 * step, t1)
        store(dv, p * step, add(v0, load(dv, p * step)))
        if p + 1 <= last:
            store(dv, p1 * step, add(v1, load(dv, p1 * step)))


@in_order
def _map_kernel_gradient(
    dz: Any, v: Any, t: Any, map_offsets: Any, map_bases: Any, centre: int, d_psi: Any, row: int
) -> None:
    """dψ[tap] += Σ_p dz[p]·(V, T)[p + tap], four taps at a time; behind the last tap it is computed again."""
    step = lanes_of(dz)
    zero = splat(dz.dtype.type(0))
    last = map_offsets.shape[0] - 1
    for tap in range(0, last + 1, 4):
        o0, o1 = map_offsets[tap], map_offsets[min(tap + 1, last)]
        o2, o3 = map_offsets[min(tap + 2, last)], map_offsets[min(tap + 3, last)]
        v0, v1, v2, v3, t0, t1, t2, t3 = zero, zero, zero, zero, zero, zero, zero, zero
        for p in range(map_bases.shape[0]):
            at = map_bases[p]
            d = load(dz, (centre + at) * step)
            v0, t0 = fma(d, load(v, (at + o0) * step), v0), fma(d, load(t, (at + o0) * step), t0)
            v1, t1 = fma(d, load(v, (at + o1) * step), v1), fma(d, load(t, (at + o1) * step), t1)
            v2, t2 = fma(d, load(v, (at + o2) * step), v2), fma(d, load(t, (at + o2) * step), t2)
            v3, t3 = fma(d, load(v, (at + o3) * step), v3), fma(d, load(t, (at + o3) * step), t3)
        _add_pair(d_psi, row, tap, v0, t0)
        if tap + 1 <= last:
            _add_pair(d_psi, row, tap + 1, v1, t1)
        if tap + 2 <= last:
            _add_pair(d_psi, row, tap + 2, v2, t2)
        if tap + 3 <= last:
            _add_pair(d_psi, row, tap + 3, v3, t3)


@in_order
def _add_pair(out: Any, row: int, tap: int, first: Any, second: Any) -> None:
    step = lanes_of(out)
    at = row + 2 * tap * step
    store(out, at, add(load(out, at), first))
    store(out, at + step, add(load(out, at + step), second))


@in_order
def _response_gradient(dv: Any, dt: Any, chosen: Any, at: int, kept: int, number: Any) -> Any:
    """du = dV + dT·[this channel holds the maximum] of one position."""
    d = load(dt, at)
    zero = splat(dv.dtype.type(0))
    return add(load(dv, at), where_equal(load_integers(chosen, kept + at, d), number, d, zero))


@in_order
def _kernel_gradient(
    x: Any, plane: int, offsets: Any, bases: Any, dv: Any, dt: Any, chosen: Any, kept: int, channel: int, out: Any
) -> None:
    """dW'[t] = Σ_p du[p]·x[p + t] for one channel: nine taps a pass, or three; behind the last it is computed again."""
    step = lanes_of(dv)
    zero = splat(dv.dtype.type(0))
    number = splat_integer(channel, zero)
    positions, last = bases.shape[0], offsets.shape[0] - 1
    if last >= 6:
        for t in range(0, last + 1, 9):
            o0, o1, o2 = offsets[t], offsets[min(t + 1, last)], offsets[min(t + 2, last)]
            o3, o4, o5 = offsets[min(t + 3, last)], offsets[min(t + 4, last)], offsets[min(t + 5, last)]
            o6, o7, o8 = offsets[min(t + 6, last)], offsets[min(t + 7, last)], offsets[min(t + 8, last)]
            s0, s1, s2, s3, s4, s5, s6, s7, s8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
            for p in range(positions):
                du = _response_gradient(dv, dt, chosen, p * step, kept, number)
                at = plane + bases[p]
                s0 = fma(du, splat(x[at + o0]), s0)
                s1 = fma(du, splat(x[at + o1]), s1)
                s2 = fma(du, splat(x[at + o2]), s2)
                s3 = fma(du, splat(x[at + o3]), s3)
                s4 = fma(du, splat(x[at + o4]), s4)
                s5 = fma(du, splat(x[at + o5]), s5)
                s6 = fma(du, splat(x[at + o6]), s6)
                s7 = fma(du, splat(x[at + o7]), s7)
                s8 = fma(du, splat(x[at + o8]), s8)
            store(out, min(t + 8, last) * step, s8)
            store(out, min(t + 7, last) * step, s7)
            store(out, min(t + 6, last) * step, s6)
            store(out, min(t + 5, last) * step, s5)
            store(out, min(t + 4, last) * step, s4)
            store(out, min(t + 3, last) * step, s3)
            store(out, min(t + 2, last) * step, s2)
            store(out, min(t + 1, last) * step, s1)
            store(out, t * step, s0)
    else:
        for t in range(0, last + 1, 3):
            o0, o1, o2 = offsets[t], offsets[min(t + 1, last)], offsets[min(t + 2, last)]
            s0, s1, s2 = zero, zero, zero
            for p in range(positions):
                du = _response_gradient(dv, dt, chosen, p * step, kept, number)
                at = plane + bases[p]
                s0 = fma(du, splat(x[at + o0]), s0)
                s1 = fma(du, splat(x[at + o1]), s1)
                s2 = fma(du, splat(x[at + o2]), s2)
            store(out, min(t + 2, last) * step, s2)
            store(out, min(t + 1, last) * step, s1)
            store(out, t * step, s0)


@in_order
def _input_gradient(
    offsets: Any, bases: Any, w: Any, row: int, d: Any, d_row: int, dv: Any, dt: Any, chosen: Any, kept: int, gate: Any,
    channel: int, skip: Any, out: Any,
) -> None:  # fmt: skip
    """Add w[t]·(skip·d + α_C·du)[p] to place p + t of one channel's plane, a row of outputs for each place."""
    step = lanes_of(dv)
    zero = splat(dv.dtype.type(0))
    number, s = splat_integer(channel, zero), splat(skip)
    for p in range(bases.shape[0]):
        du = _response_gradient(dv, dt, chosen, p * step, kept, number)
        df = fma(gate, du, multiply(s, load(d, d_row + p * step)))
        for t in range(offsets.shape[0]):
            at = (bases[p] + offsets[t]) * step
            store(out, at, fma(load(w, row + t * step), df, load(out, at)))


@in_order
def _gate_backward(
    mean: Any, top: Any, gates: Any, kept: int, fc1: Any, row1: int, fc2: Any, row2: int, d_gate: Any, sizes: Any,
    d_mean: Any, d_top: Any, d_fc1: Any, to1: int, d_fc2: Any, to2: int,
) -> None:  # fmt: skip
    """Through the channel gate: gradients of the statistics; those of its weights are added."""
    step = lanes_of(fc1)
    zero, one = splat(fc1.dtype.type(0)), splat(fc1.dtype.type(1))
    hidden, channels = sizes.hidden, sizes.channels
    of_mean = np.empty(hidden * step, fc1.dtype)
    of_top = np.empty(hidden * step, fc1.dtype)
    _hidden(fc1, row1, mean[kept:], hidden, channels, of_mean)
    _hidden(fc1, row1, top[kept:], hidden, channels, of_top)
    for i in range(channels):
        a = load(gates, i * step)
        store(d_gate, i * step, multiply(load(d_gate, i * step), multiply(a, subtract(one, a))))
        store(d_mean, i * step, zero)
        store(d_top, i * step, zero)
    for r in range(hidden):
        h_mean, h_top = load(of_mean, r * step), load(of_top, r * step)
        both = add(_rectified(h_mean, zero), _rectified(h_top, zero))
        d_hidden = zero
        for i in range(channels):
            at = (i * hidden + r) * step
            d = load(d_gate, i * step)
            d_hidden = fma(load(fc2, row2 + at), d, d_hidden)
            store(d_fc2, to2 + at, fma(d, both, load(d_fc2, to2 + at)))
        d_of_mean, d_of_top = where_at_most(h_mean, zero, zero, d_hidden), where_at_most(h_top, zero, zero, d_hidden)
        for i in range(channels):
            at = (r * channels + i) * step
            weight = load(fc1, row1 + at)
            store(d_mean, i * step, fma(weight, d_of_mean, load(d_mean, i * step)))
            store(d_top, i * step, fma(weight, d_of_top, load(d_top, i * step)))
            found = fma(d_of_mean, load(mean, kept + i * step), multiply(d_of_top, load(top, kept + i * step)))
            store(d_fc1, to1 + at, add(load(d_fc1, to1 + at), found))


@in_order
def _statistics_gradient(
    x: Any, plane: int, offsets: Any, bases: Any, w: Any, row: int, windows: Any, window: int, d_mean: Any, d_top: Any,
    at: int, position: Any, kept: int, coefficient: Any, dx: Any, dw: Any, to: int,
) -> None:  # fmt: skip
    """Through mean and maximum of one channel's f~, without f~: the mean is the kernel times the windows' means (their
    part of dx waits in `coefficient`), the maximum is one sample.
    """  # fmt: skip
    step = lanes_of(w)
    for t in range(offsets.shape[0]):
        d, weight = load(d_mean, at), load(w, row + t * step)
        seen = splat(windows[window + t])
        store(dw, to + t * step, fma(d, seen, load(dw, to + t * step)))
        coefficient[t] += total(multiply(d, weight))
    for lane in range(step):
        d_one = d_top[at + lane]
        place = plane + bases[position[kept + lane]]
        for t in range(offsets.shape[0]):
            dw[to + t * step + lane] += d_one * x[place + offsets[t]]
            dx[place + offsets[t]] += d_one * w[row + t * step + lane]


@in_order
def _backward(
    slot: int, start: int, stop: int, x: Any, w: Any, fc1: Any, fc2: Any, psi: Any, offsets: Any, bases: Any,
    map_offsets: Any, map_bases: Any, sizes: Any, flags: Any, factors: Any, windows: Any, grad: Any, constants: Any,
    value: Any, top: Any, alpha: Any, chosen: Any, mean: Any, maximum: Any, position: Any, dx: Any, dw: Any, d_fc1: Any,
    d_fc2: Any, d_psi: Any,
) -> None:  # fmt: skip
    """Gradients of tasks (sample, pose of the input), without the plain convolution's weight gradient.

    As in `forward`; windows (B, G, I, K) the mean of what each tap sees; grad (B, block, P, L). Adds to dx (B, G, I, N)
    and, slot by slot, to dw, d_fc1, d_fc2, d_psi, which are like the weights.
    """
    step = lanes_of(w)
    zero = splat(w.dtype.type(0))
    depth, channels, positions, taps = sizes.depth, sizes.channels, sizes.positions, sizes.taps
    plane = sizes.plane
    skip, attended = factors[0], factors[1]
    dz = np.zeros(sizes.map_plane * step, w.dtype)
    v = np.zeros(sizes.map_plane * step, w.dtype)
    t = np.zeros(sizes.map_plane * step, w.dtype)
    dv = np.zeros(positions * step, w.dtype)
    dt = np.zeros(positions * step, w.dtype)
    rows_of_plane = np.zeros(plane * step, w.dtype)
    products = np.zeros(taps * step, w.dtype)
    d_gate = np.zeros(channels * step, w.dtype)
    d_mean = np.zeros(channels * step, w.dtype)
    d_top = np.zeros(channels * step, w.dtype)
    coefficient = np.zeros((channels, taps), w.dtype)
    # without spatial attention dT is 0 and no channel's number matters, but it is read
    numbers = chosen if flags.spatial else np.zeros(positions * step, chosen.dtype)
    gates = np.ones(channels * step, w.dtype)
    for task in range(start, stop):
        b, g = task // depth, task % depth
        first = task * channels * plane
        coefficient[:] = 0
        for block in range(sizes.blocks):
            here = block * depth + g
            there = (slot * sizes.blocks + block) * depth + g
            row, to = here * channels * taps * step, there * channels * taps * step
            kept = ((b * sizes.blocks + block) * depth + g) * step
            d_row = (b * sizes.blocks + block) * positions * step
            rows = kept * positions if flags.spatial else 0
            for p in range(positions):
                d = multiply(splat(attended), load(grad, d_row + p * step))
                if flags.spatial:
                    a = load(alpha, rows + p * step)
                    slope = multiply(a, subtract(splat(w.dtype.type(1)), a))
                    there_z = (sizes.map_centre + map_bases[p]) * step
                    store(dz, there_z, multiply(multiply(d, load(value, rows + p * step)), slope))
                    d = multiply(d, a)
                store(dv, p * step, d)
            if flags.spatial:
                _fill_map(value, rows, map_bases, sizes.map_centre, v)
                _fill_map(top, rows, map_bases, sizes.map_centre, t)
                psi_row = 2 * sizes.map_taps * step
                _transposed(dz, map_offsets, map_bases, psi, here * psi_row, dv, dt)
                _map_kernel_gradient(dz, v, t, map_offsets, map_bases, sizes.map_centre, d_psi, there * psi_row)
            gate_row = sizes.hidden * channels * step
            if flags.channel:
                at = kept * channels
                _gate(mean[at:], maximum[at:], fc1, here * gate_row, fc2, here * gate_row, sizes, constants, gates)
            for i in range(channels):
                _kernel_gradient(x, first + i * plane, offsets, bases, dv, dt, numbers, rows, i, products)
                gate, through_gate = load(gates, i * step), zero
                for tap in range(taps):
                    at = i * taps + tap
                    product = load(products, tap * step)
                    through_gate = fma(load(w, row + at * step), product, through_gate)
                    store(dw, to + at * step, fma(gate, product, load(dw, to + at * step)))
                store(d_gate, i * step, through_gate)
                rows_of_plane[:] = 0
                _input_gradient(
                    offsets, bases, w, row + i * taps * step, grad, d_row, dv, dt, numbers, rows, gate, i, skip,
                    rows_of_plane,
                )  # fmt: skip
                for n in range(plane):
                    dx[first + i * plane + n] += total(load(rows_of_plane, n * step))
            if flags.channel:
                _gate_backward(
                    mean, maximum, gates, kept * channels, fc1, here * gate_row, fc2, here * gate_row, d_gate, sizes,
                    d_mean, d_top, d_fc1, there * gate_row, d_fc2, there * gate_row,
                )  # fmt: skip
                for i in range(channels):
                    _statistics_gradient(
                        x, first + i * plane, offsets, bases, w, row + i * taps * step, windows,
                        (task * channels + i) * taps, d_mean, d_top, i * step, position, (kept * channels + i * step),
                        coefficient[i], dx, dw, to + i * taps * step,
                    )  # fmt: skip
        if flags.channel:
            for i in range(channels):
                for tap in range(taps):
                    at, share = first + i * plane + offsets[tap], coefficient[i, tap] / positions
                    for p in range(positions):
                        dx[at + bases[p]] += share


@in_order
def forward(run: Run, *arguments: Any) -> None:
    """`_forward` on the threads of a run."""
    run_region(_forward, run, arguments)


@in_order
def into_blocks(run: Run, *arguments: Any) -> None:
    """`_into_blocks` on the threads of a run."""
    run_region(_into_blocks, run, arguments)


@in_order
def backward(run: Run, *arguments: Any) -> None:
    """`_backward` on the threads of a run."""
    run_region(_backward, run, arguments)
