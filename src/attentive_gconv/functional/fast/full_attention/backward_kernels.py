"""Compiled CPU kernels of the streaming form: the gradients of x and of all weights.

Layout, tasks and slots are those of `...full_attention.forward_kernels`; the gradient of a response is formed where it
is needed and never stored.
"""

from typing import Any

import numpy as np

from attentive_gconv.functional.fast.full_attention.gate_kernels import channel_gate, channel_gate_backward
from attentive_gconv.functional.fast.numba_runtime.jit import in_order
from attentive_gconv.functional.fast.numba_runtime.regions import Run, run_region
from attentive_gconv.functional.fast.numba_runtime.simd import (
    add,
    fma,
    lanes_of,
    load,
    load_integers,
    multiply,
    splat,
    splat_integer,
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
                channel_gate(
                    mean[at:], maximum[at:], fc1, here * gate_row, fc2, here * gate_row, sizes, constants, gates
                )
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
            for i in range(channels):
                for tap in range(taps):
                    at, share = first + i * plane + offsets[tap], coefficient[i, tap] / positions
                    for p in range(positions):
                        dx[at + bases[p]] += share


@in_order
def into_blocks(run: Run, *arguments: Any) -> None:
    """`_into_blocks` on the threads of a run."""
    run_region(_into_blocks, run, arguments)


@in_order
def backward(run: Run, *arguments: Any) -> None:
    """`_backward` on the threads of a run."""
    run_region(_backward, run, arguments)
