"""Compiled CPU kernels of the streaming form: the gradients of x and of all weights.

Layout, tasks and slots are those of `...full_attention.forward_kernels`; the gradient of a response is formed where it
is needed and never stored.
"""

from typing import Any, NamedTuple

import numpy as np

from attentive_gconv.functional.fast.full_attention.gate_kernels import channel_gate, channel_gate_backward
from attentive_gconv.functional.fast.numba_runtime.aligned_memory import aligned_zeros
from attentive_gconv.functional.fast.numba_runtime.jit import in_order
from attentive_gconv.functional.fast.numba_runtime.regions import Run, run_region
from attentive_gconv.functional.fast.numba_runtime.simd import (
    add,
    add_totals,
    fma,
    lanes_of,
    load,
    load_integers,
    multiply,
    splat,
    splat_integer,
    spread,
    store,
    subtract,
    total,
    where_equal,
)


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
    for p in range(0, last + 1, 4):
        p1, p2, p3 = min(p + 1, last), min(p + 2, last), min(p + 3, last)
        b0, b1, b2, b3 = map_bases[p], map_bases[p1], map_bases[p2], map_bases[p3]
        v0, v1, v2, v3, t0, t1, t2, t3 = zero, zero, zero, zero, zero, zero, zero, zero
        for tap in range(taps):
            at, reverse = map_offsets[tap], row + 2 * (taps - 1 - tap) * step
            of_mean, of_top = load(psi, reverse), load(psi, reverse + step)
            d = load(dz, (at + b0) * step)
            v0, t0 = fma(of_mean, d, v0), fma(of_top, d, t0)
            d = load(dz, (at + b1) * step)
            v1, t1 = fma(of_mean, d, v1), fma(of_top, d, t1)
            d = load(dz, (at + b2) * step)
            v2, t2 = fma(of_mean, d, v2), fma(of_top, d, t2)
            d = load(dz, (at + b3) * step)
            v3, t3 = fma(of_mean, d, v3), fma(of_top, d, t3)
        _add_to_row(dv, dt, p, v0, t0)
        if p + 1 <= last:
            _add_to_row(dv, dt, p1, v1, t1)
        if p + 2 <= last:
            _add_to_row(dv, dt, p2, v2, t2)
        if p + 3 <= last:
            _add_to_row(dv, dt, p3, v3, t3)


@in_order
def _add_to_row(dv: Any, dt: Any, p: int, value: Any, top: Any) -> None:
    """Add to dV, set dT."""
    at = p * lanes_of(dv)
    store(dv, at, add(load(dv, at), value))
    store(dt, at, top)


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
def _response_gradients(
    bases: Any, dv: Any, dt: Any, chosen: Any, kept: int, channel: int, d: Any, d_row: int, gate: Any, skip: Any,
    margin: int, du: Any, df: Any,
) -> None:  # fmt: skip
    """du = dV + dT·[this channel holds the maximum], in rows, and df~ = skip·d + α_C·du, in a plane of one phase."""
    step = lanes_of(dv)
    zero, factor = splat(dv.dtype.type(0)), splat(skip)
    number = splat_integer(channel, zero)
    for p in range(bases.shape[0]):
        at = p * step
        top = load(dt, at)
        of_u = add(load(dv, at), where_equal(load_integers(chosen, kept + at, top), number, top, zero))
        store(du, at, of_u)
        store(df, (margin + bases[p]) * step, fma(gate, of_u, multiply(factor, load(d, d_row + at))))


@in_order
def _kernel_gradient(x: Any, plane: int, offsets: Any, bases: Any, du: Any, out: Any) -> None:
    """dW'[t] = Σ_p du[p]·x[p + t] for one channel: nine taps a pass, or three; behind the last it is computed again."""
    step = lanes_of(du)
    zero = splat(du.dtype.type(0))
    positions, last = bases.shape[0], offsets.shape[0] - 1
    if last >= 6:
        for t in range(0, last + 1, 9):
            o0, o1, o2 = offsets[t], offsets[min(t + 1, last)], offsets[min(t + 2, last)]
            o3, o4, o5 = offsets[min(t + 3, last)], offsets[min(t + 4, last)], offsets[min(t + 5, last)]
            o6, o7, o8 = offsets[min(t + 6, last)], offsets[min(t + 7, last)], offsets[min(t + 8, last)]
            s0, s1, s2, s3, s4, s5, s6, s7, s8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
            for p in range(positions):
                d, at = load(du, p * step), plane + bases[p]
                s0, s1 = fma(d, spread(x, at + o0), s0), fma(d, spread(x, at + o1), s1)
                s2 = fma(d, spread(x, at + o2), s2)
                s3, s4 = fma(d, spread(x, at + o3), s3), fma(d, spread(x, at + o4), s4)
                s5 = fma(d, spread(x, at + o5), s5)
                s6, s7 = fma(d, spread(x, at + o6), s6), fma(d, spread(x, at + o7), s7)
                s8 = fma(d, spread(x, at + o8), s8)
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
                d, at = load(du, p * step), plane + bases[p]
                s0, s1 = fma(d, spread(x, at + o0), s0), fma(d, spread(x, at + o1), s1)
                s2 = fma(d, spread(x, at + o2), s2)
            store(out, min(t + 2, last) * step, s2)
            store(out, min(t + 1, last) * step, s1)
            store(out, t * step, s0)


class Taps(NamedTuple):
    """The taps in the order of the stride phases that they see."""

    number: Any  # of the tap
    shift: Any  # its offset in the plane of its phase
    start: Any  # where each phase begins, and the end
    margin: int  # the largest shift


@in_order
def _taps_by_phase(offsets: Any, phase_plane: int, phases: int) -> Any:
    number, shift = np.empty(offsets.shape[0], np.int64), np.empty(offsets.shape[0], np.int64)
    start = np.empty(phases + 1, np.int64)
    at, margin = 0, 0
    for phase in range(phases):
        start[phase] = at
        for t in range(offsets.shape[0]):
            if offsets[t] // phase_plane == phase:
                number[at], shift[at] = t, offsets[t] % phase_plane
                margin = max(margin, shift[at])
                at += 1
    start[phases] = at
    return Taps(number, shift, start, margin)


@in_order
def _input_gradient(taps: Any, phase_plane: int, w: Any, row: int, df: Any, dx: Any, first: int) -> None:
    """dx[n] += Σ_t w[t]·df~[n - t], summed over a vector's outputs: one channel's plane, eight places at a time."""
    step = lanes_of(df)
    zero = splat(df.dtype.type(0))
    whole = phase_plane - phase_plane % 8
    for phase in range(taps.start.shape[0] - 1):
        begin, end, to = taps.start[phase], taps.start[phase + 1], first + phase * phase_plane
        for n in range(0, whole if begin < end else 0, 8):
            d0, d1, d2, d3, d4, d5, d6, d7 = zero, zero, zero, zero, zero, zero, zero, zero
            for j in range(begin, end):
                weight = load(w, row + taps.number[j] * step)
                at = (taps.margin + n - taps.shift[j]) * step
                d0, d1 = fma(weight, load(df, at), d0), fma(weight, load(df, at + step), d1)
                d2, d3 = fma(weight, load(df, at + 2 * step), d2), fma(weight, load(df, at + 3 * step), d3)
                d4, d5 = fma(weight, load(df, at + 4 * step), d4), fma(weight, load(df, at + 5 * step), d5)
                d6, d7 = fma(weight, load(df, at + 6 * step), d6), fma(weight, load(df, at + 7 * step), d7)
            add_totals(dx, to + n, d0, d1, d2, d3)
            add_totals(dx, to + n + 4, d4, d5, d6, d7)
        for n in range(whole, phase_plane if begin < end else 0):
            d0 = zero
            for j in range(begin, end):
                weight, at = load(w, row + taps.number[j] * step), (taps.margin + n - taps.shift[j]) * step
                d0 = fma(weight, load(df, at), d0)
            dx[to + n] += total(d0)


@in_order
def _add_means_gradient(coefficient: Any, offsets: Any, inside: Any, dx: Any, first: int, plane: int) -> None:
    """Add what comes through the windows' means: a tap's share at each place that it sees; ``inside``: positions."""
    for i in range(coefficient.shape[0]):
        for tap in range(offsets.shape[0]):
            at, share = first + i * plane + offsets[tap], coefficient[i, tap]
            for n in range(inside.shape[0]):
                dx[at + n] += share if inside[n] else dx.dtype.type(0)


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
    dz = aligned_zeros(sizes.map_plane * step, w)
    v = aligned_zeros(sizes.map_plane * step, w)
    t = aligned_zeros(sizes.map_plane * step, w)
    dv = aligned_zeros(positions * step, w)
    dt = aligned_zeros(positions * step, w)
    by_phase = _taps_by_phase(offsets, sizes.phase_plane, plane // sizes.phase_plane)
    du = aligned_zeros(positions * step, w)
    df = aligned_zeros((by_phase.margin + sizes.phase_plane) * step, w)  # zero where there is no position
    inside = np.zeros(bases[positions - 1] + 1, np.bool_)
    for p in range(positions):
        inside[bases[p]] = True
    products = aligned_zeros(taps * step, w)
    d_gate = aligned_zeros(channels * step, w)
    d_mean = aligned_zeros(channels * step, w)
    d_top = aligned_zeros(channels * step, w)
    coefficient = np.zeros((channels, taps), w.dtype)
    # without spatial attention dT is 0 and no channel's number matters, but it is read
    numbers = chosen if flags.spatial else np.zeros(positions * step, chosen.dtype)
    gates = aligned_zeros(channels * step, w)
    gates[:] = 1
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
                channel_gate(
                    mean[at:], maximum[at:], fc1, here * gate_row, fc2, here * gate_row, sizes, constants, gates
                )
            for i in range(channels):
                gate, through_gate = load(gates, i * step), zero
                _response_gradients(
                    bases, dv, dt, numbers, rows, i, grad, d_row, gate, skip, by_phase.margin, du, df
                )  # fmt: skip
                _kernel_gradient(x, first + i * plane, offsets, bases, du, products)
                for tap in range(taps):
                    at = i * taps + tap
                    product = load(products, tap * step)
                    through_gate = fma(load(w, row + at * step), product, through_gate)
                    store(dw, to + at * step, fma(gate, product, load(dw, to + at * step)))
                store(d_gate, i * step, through_gate)
                taps_row = row + i * taps * step
                _input_gradient(by_phase, sizes.phase_plane, w, taps_row, df, dx, first + i * plane)
            if flags.channel:
                channel_gate_backward(
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
            coefficient /= w.dtype.type(positions)
            _add_means_gradient(coefficient, offsets, inside, dx, first, plane)


@in_order
def into_blocks(run: Run, *arguments: Any) -> None:
    """`_into_blocks` on the threads of a run."""
    run_region(_into_blocks, run, arguments)


@in_order
def backward(run: Run, *arguments: Any) -> None:
    """`_backward` on the threads of a run."""
    run_region(_backward, run, arguments)
