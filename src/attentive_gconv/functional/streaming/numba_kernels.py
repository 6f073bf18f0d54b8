"""Compiled CPU kernels of the streaming form: tasks over (sample, output), everything of a task in cache.

Each kernel works on the tasks ``start … stop - 1`` and releases the interpreter lock, so that threads of this process
share the work; ``slot`` numbers the chunk of tasks and selects its own accumulators. Names are those of
`attentive_gconv.functional.streaming.operation`. A buffer is "wide" when its rows are ``pitch`` apart
(`attentive_gconv.functional.streaming.layout`); its columns beyond X' hold nothing of meaning, or zeros where said.

NaN: maxima ignore it; the means beside them carry it into the same gates, as in the definition.
"""

import math
from typing import Any

import numpy as np
from numba import njit, prange

# sums may be reordered (vectorised); NaN and infinities keep their meaning
_FAST = {"reassoc", "contract", "nsz"}
_compile = njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
_inline = njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
# the order as written: chains of fused multiply-adds, and rounding that must not be simplified away
_ordered = njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")


@_ordered
def _correlate_four(x: Any, offsets: Any, w0: Any, w1: Any, w2: Any, w3: Any, f: Any) -> None:
    """f[lane, q] = Σ_t w[lane][t]·x[offset[t] + q] for four kernels at once, three taps a pass."""
    taps, n = offsets.shape[0], f.shape[1]
    f0, f1, f2, f3 = f[0], f[1], f[2], f[3]
    a = x[offsets[0] :]
    p0, r0, s0, u0 = w0[0], w1[0], w2[0], w3[0]
    for q in range(n):
        v = a[q]
        f0[q] = p0 * v
        f1[q] = r0 * v
        f2[q] = s0 * v
        f3[q] = u0 * v
    t = 1
    while t + 2 <= taps:
        a, b = x[offsets[t] :], x[offsets[t + 1] :]
        p0, r0, s0, u0 = w0[t], w1[t], w2[t], w3[t]
        p1, r1, s1, u1 = w0[t + 1], w1[t + 1], w2[t + 1], w3[t + 1]
        if t + 4 <= taps:
            c, d = x[offsets[t + 2] :], x[offsets[t + 3] :]
            p2, r2, s2, u2 = w0[t + 2], w1[t + 2], w2[t + 2], w3[t + 2]
            p3, r3, s3, u3 = w0[t + 3], w1[t + 3], w2[t + 3], w3[t + 3]
            for q in range(n):
                f0[q] = p3 * d[q] + (p2 * c[q] + (p1 * b[q] + (p0 * a[q] + f0[q])))
                f1[q] = r3 * d[q] + (r2 * c[q] + (r1 * b[q] + (r0 * a[q] + f1[q])))
                f2[q] = s3 * d[q] + (s2 * c[q] + (s1 * b[q] + (s0 * a[q] + f2[q])))
                f3[q] = u3 * d[q] + (u2 * c[q] + (u1 * b[q] + (u0 * a[q] + f3[q])))
            t += 4
        else:
            for q in range(n):
                f0[q] = p1 * b[q] + (p0 * a[q] + f0[q])
                f1[q] = r1 * b[q] + (r0 * a[q] + f1[q])
                f2[q] = s1 * b[q] + (s0 * a[q] + f2[q])
                f3[q] = u1 * b[q] + (u0 * a[q] + f3[q])
            t += 2
    if t < taps:
        a = x[offsets[t] :]
        p0, r0, s0, u0 = w0[t], w1[t], w2[t], w3[t]
        for q in range(n):
            v = a[q]
            f0[q] += p0 * v
            f1[q] += r0 * v
            f2[q] += s0 * v
            f3[q] += u0 * v


@_ordered
def _correlate_add(x: Any, offsets: Any, w: Any, f: Any, n: int) -> None:
    """f[q] += Σ_t w[t]·x[offset[t] + q], seven taps a pass."""
    taps = offsets.shape[0]
    t = 0
    while t + 7 <= taps:
        a, b, c, d = x[offsets[t] :], x[offsets[t + 1] :], x[offsets[t + 2] :], x[offsets[t + 3] :]
        e, g, h = x[offsets[t + 4] :], x[offsets[t + 5] :], x[offsets[t + 6] :]
        p0, p1, p2, p3, p4, p5, p6 = w[t], w[t + 1], w[t + 2], w[t + 3], w[t + 4], w[t + 5], w[t + 6]
        for q in range(n):
            left = p2 * c[q] + (p1 * b[q] + (p0 * a[q] + f[q]))
            f[q] = p6 * h[q] + (p5 * g[q] + (p4 * e[q] + (p3 * d[q] + left)))
        t += 7
    while t < taps:
        a = x[offsets[t] :]
        p0 = w[t]
        for q in range(n):
            f[q] += p0 * a[q]
        t += 1


@_inline
def _inner_products(x: Any, offsets: Any, d: Any, n: int, out: Any, scale: float) -> None:
    """out[t] += scale·Σ_q d[q]·x[offset[t] + q], seven taps a pass."""
    taps = offsets.shape[0]
    t = 0
    while t + 7 <= taps:
        a, b, c, e = x[offsets[t] :], x[offsets[t + 1] :], x[offsets[t + 2] :], x[offsets[t + 3] :]
        g, h, k = x[offsets[t + 4] :], x[offsets[t + 5] :], x[offsets[t + 6] :]
        zero = d.dtype.type(0)
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = zero
        for q in range(n):
            v = d[q]
            s0 += v * a[q]
            s1 += v * b[q]
            s2 += v * c[q]
            s3 += v * e[q]
            s4 += v * g[q]
            s5 += v * h[q]
            s6 += v * k[q]
        out[t] += scale * s0
        out[t + 1] += scale * s1
        out[t + 2] += scale * s2
        out[t + 3] += scale * s3
        out[t + 4] += scale * s4
        out[t + 5] += scale * s5
        out[t + 6] += scale * s6
        t += 7
    while t < taps:
        a = x[offsets[t] :]
        s0 = d.dtype.type(0)
        for q in range(n):
            s0 += d[q] * a[q]
        out[t] += scale * s0
        t += 1


@_inline
def _plane_maximum(f: Any, rows: int, columns: int, pitch: int, best: Any, where: Any) -> Any:
    """The maximum over the valid columns of a wide plane, and its first position in memory order.

    Each column keeps its own maximum (in `best`) and the row where it came first (in `where`): a loop that vectorises.
    """
    for c in range(columns):
        best[c] = f[c]
        where[c] = 0
    for y in range(1, rows):
        row = f[y * pitch :]
        for c in range(columns):
            larger = row[c] > best[c]
            best[c] = row[c] if larger else best[c]
            where[c] = y if larger else where[c]
    top, place = best[0], where[0] * columns
    for c in range(1, columns):
        here = where[c] * columns + c
        if best[c] > top or (best[c] == top and here < place):
            top, place = best[c], here
    return top, place


@_compile
def window_means(slot: int, start: int, stop: int, x: Any, offsets: Any, sizes: Any, out: Any) -> None:
    """The mean of what every tap sees, ``(B, G, I, K)``; a kernel times these is the mean of its f~."""
    rows, columns, pitch = sizes[0], sizes[1], sizes[2]
    depth, channels = x.shape[1:3]
    for task in range(start, stop):
        b, g = task // depth, task % depth
        for i in range(channels):
            for tap in range(offsets.shape[0]):
                total = x.dtype.type(0)
                for y in range(rows):
                    row = x[b, g, i, offsets[tap] + y * pitch :]
                    for c in range(columns):
                        total += row[c]
                out[b, g, i, tap] = total / (rows * columns)


@_inline
def _gate(mean: Any, top: Any, fc1: Any, fc2: Any, hidden: Any, out: Any) -> None:
    """The channel gate σ(W2·relu(W1·mean) + W2·relu(W1·max)) of one (output, pose)."""
    width, channels = fc1.shape
    for r in range(width):
        from_mean = mean.dtype.type(0)
        from_top = mean.dtype.type(0)
        for i in range(channels):
            from_mean += fc1[r, i] * mean[i]
            from_top += fc1[r, i] * top[i]
        # written so that NaN passes, as it does through torch.relu
        hidden[r] = (0 if from_mean < 0 else from_mean) + (0 if from_top < 0 else from_top)
    for i in range(channels):
        logit = mean.dtype.type(0)
        for r in range(width):
            logit += fc2[i, r] * hidden[r]
        out[i] = 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
        if logit != logit:
            out[i] = logit


@_inline
def _accumulate(f: Any, a: Any, channel: int, value: Any, top: Any, index: Any, plain: Any) -> None:
    """Add one channel's u = a·f to V, its maximum to T with its number, and f to the plain response."""
    number = np.int32(channel)
    for q in range(f.shape[0]):
        u = a * f[q]
        plain[q] += f[q]
        value[q] += u
        larger = u > top[q]
        top[q] = u if larger else top[q]
        index[q] = number if larger else index[q]


@_inline
def _accumulate_two(
    f0: Any, f1: Any, a0: Any, a1: Any, channel: int, value: Any, top: Any, index: Any, plain: Any
) -> None:
    """`_accumulate` for this channel and the next: half the traffic on V, T and their like."""
    number, following = np.int32(channel), np.int32(channel + 1)
    for q in range(f0.shape[0]):
        u0 = a0 * f0[q]
        u1 = a1 * f1[q]
        plain[q] += f0[q] + f1[q]
        value[q] += u0 + u1
        second = u1 > u0
        u = u1 if second else u0
        here = following if second else number
        larger = u > top[q]
        top[q] = u if larger else top[q]
        index[q] = here if larger else index[q]


@_ordered
def _sigmoid(z: Any, n: int, constants: Any, mantissa: int, bias: int, polynomial: Any, bits: Any, power: Any) -> None:
    """z = 1 / (1 + exp(-z)) in place; vectorises, unlike the library's exp.

    exp(v) = 2^k·exp(r) with |r| ≤ ln 2 / 2: a polynomial for exp(r), and 2^k by writing k into the exponent's bits
    (`power` is `bits` seen as floating point). `constants`: see `exponential_constants`.
    """
    limit, log2e, round_off = constants[0], constants[1], constants[2]
    ln2_high, ln2_low, one = constants[3], constants[4], constants[5]
    c1, c2, c3, c4, c5, c6 = constants[6], constants[7], constants[8], constants[9], constants[10], constants[11]
    c7, c8, c9, c10, c11 = constants[12], constants[13], constants[14], constants[15], constants[16]
    c12, c13 = constants[17], constants[18]
    for q in range(n):
        v = -z[q]
        v = limit if v > limit else v
        v = -limit if v < -limit else v
        k = (v * log2e + round_off) - round_off
        r = v - k * ln2_high - k * ln2_low
        p = (((((c1 * r + c2) * r + c3) * r + c4) * r + c5) * r + c6) * r + c7
        p = (((((p * r + c8) * r + c9) * r + c10) * r + c11) * r + c12) * r + c13
        polynomial[q] = p * r + one
        bits[q] = (np.int32(k if k == k else one) + bias) << mantissa
    for q in range(n):
        z[q] = one / (one + polynomial[q] * power[q])


def exponential_constants(kind: Any) -> tuple[Any, Any, Any]:
    """What `_sigmoid` needs for a dtype: constants, the exponent's (place, bias), and the integers of that width."""
    taylor = [1 / math.factorial(term) for term in range(13, 0, -1)]
    integers: Any
    if kind == np.float64:
        leading, mantissa, bias, integers = (
            [700.0, math.log2(math.e), 1.5 * 2.0**52, 6.93145751953125e-1],
            52,
            1023,
            np.int64,
        )
    else:
        leading, mantissa, bias, integers = [87.0, math.log2(math.e), 1.5 * 2.0**23, 0.693359375], 23, 127, np.int32
    low = math.log(2) - leading[3]
    return np.array([*leading, low, 1.0, *taylor], kind), np.array([mantissa, bias]), integers


@_inline
def _eight(sizes: Any) -> Any:
    return sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7]


@_inline
def _embed(source: Any, target: Any, start: int, rows: int, columns: int, from_pitch: int, to_pitch: int) -> None:
    """Copy the valid columns of a plane into another pitch; what lies between stays as it is."""
    for y in range(rows):
        for q in range(columns):
            target[start + y * to_pitch + q] = source[y * from_pitch + q]


@_compile
def forward(
    slot: int,
    start: int,
    stop: int,
    x: Any,
    w: Any,
    offsets: Any,
    fc1: Any,
    fc2: Any,
    psi: Any,
    psi_offsets: Any,
    sizes: Any,
    factors: Any,
    flags: Any,
    constants: Any,
    exponent: Any,
    exponent_bits: Any,
    exponent_power: Any,
    windows: Any,
    out: Any,
    value: Any,
    top: Any,
    alpha: Any,
    chosen: Any,
    gate: Any,
    mean: Any,
    maximum: Any,
    position: Any,
) -> None:
    """The attended responses of tasks (sample, four outputs); writes `out` and, if wanted, what backward needs.

    x (B, G, I, N); w (G, M, I, K); fc1 (G, M, R, I); fc2 (G, M, I, R); psi (G, M, 2, A) with the mean's 1/I inside;
    out (B, M, P); value, top, alpha, chosen (B, G, M, P); gate, mean, maximum, position (B, G, M, I).
    """
    depth, channels = x.shape[1:3]
    outputs, taps = w.shape[1], offsets.shape[0]
    rows, columns, pitch, wide, psi_pitch, psi_wide, psi_start, psi_padded = _eight(sizes)
    skip, attended = factors[0], factors[1]
    has_channel, has_spatial, save, store = flags[0], flags[1], flags[2], flags[3]
    mantissa, bias = exponent[0], exponent[1]
    kind = x.dtype
    blocks = (outputs + 3) // 4
    # u needs the gate, and the gate every channel's statistics: f~ of all channels is stored, or computed twice
    f = np.empty((channels if store else 2, 4, wide), kind)
    v = np.zeros((4, wide), kind)
    t = np.zeros((4, wide), kind)
    s = np.zeros((4, wide), kind)
    index = np.zeros((4, wide), np.int32)
    total = np.zeros((4, rows * columns), kind)
    a = np.ones((4, channels), kind)
    means = np.zeros((4, channels), kind)
    tops = np.zeros((4, channels), kind)
    places = np.zeros((4, channels), np.int32)
    column_best = np.zeros(columns, kind)
    column_where = np.zeros(columns, np.int32)
    hidden = np.zeros(fc1.shape[2], kind)
    v_padded = np.zeros(psi_padded, kind)
    t_padded = np.zeros(psi_padded, kind)
    z = np.zeros(psi_wide, kind)
    polynomial = np.zeros(psi_wide, kind)
    bits, power = exponent_bits[slot], exponent_power[slot]
    for task in range(start, stop):
        b, m0 = task // blocks, 4 * (task % blocks)
        lanes = min(4, outputs - m0)
        m1, m2, m3 = min(m0 + 1, outputs - 1), min(m0 + 2, outputs - 1), min(m0 + 3, outputs - 1)
        total[:] = 0
        for g in range(depth):
            v[:] = 0
            s[:] = 0
            t[:] = -np.inf
            index[:] = 0
            if has_channel:
                for i in range(channels):
                    here = f[i if store else 0]
                    _correlate_four(x[b, g, i], offsets, w[g, m0, i], w[g, m1, i], w[g, m2, i], w[g, m3, i], here)
                    for lane in range(lanes):
                        tops[lane, i], places[lane, i] = _plane_maximum(
                            here[lane], rows, columns, pitch, column_best, column_where
                        )
                for lane in range(lanes):
                    m = m0 + lane
                    for i in range(channels):
                        average = kind.type(0)
                        for tap in range(taps):
                            average += w[g, m, i, tap] * windows[b, g, i, tap]
                        means[lane, i] = average
                    _gate(means[lane], tops[lane], fc1[g, m], fc2[g, m], hidden, a[lane])
                    if save:
                        gate[b, g, m] = a[lane]
                        mean[b, g, m] = means[lane]
                        maximum[b, g, m] = tops[lane]
                        position[b, g, m] = places[lane]
            for i in range(0, channels, 2):
                paired = i + 1 < channels
                if not store:
                    for c in range(i, min(i + 2, channels)):
                        _correlate_four(
                            x[b, g, c], offsets, w[g, m0, c], w[g, m1, c], w[g, m2, c], w[g, m3, c], f[c - i]
                        )
                first, second = (f[i], f[min(i + 1, channels - 1)]) if store else (f[0], f[1])
                for lane in range(lanes):
                    sums = (v[lane], t[lane], index[lane], s[lane])
                    if paired:
                        _accumulate_two(first[lane], second[lane], a[lane, i], a[lane, i + 1], i, *sums)
                    else:
                        _accumulate(first[lane], a[lane, i], i, *sums)
            for lane in range(lanes):
                m = m0 + lane
                if has_spatial:
                    _embed(v[lane], v_padded, psi_start, rows, columns, pitch, psi_pitch)
                    _embed(t[lane], t_padded, psi_start, rows, columns, pitch, psi_pitch)
                    z[:] = 0
                    _correlate_add(v_padded, psi_offsets, psi[g, m, 0], z, psi_wide)
                    _correlate_add(t_padded, psi_offsets, psi[g, m, 1], z, psi_wide)
                    _sigmoid(z, psi_wide, constants, mantissa, bias, polynomial, bits, power)
                for y in range(rows):
                    sums_row = total[lane, y * columns :]
                    plain, attending = s[lane, y * pitch :], v[lane, y * pitch :]
                    if has_spatial:
                        map_row = z[y * psi_pitch :]
                        for c in range(columns):
                            sums_row[c] += skip * plain[c] + attended * map_row[c] * attending[c]
                    else:
                        for c in range(columns):
                            sums_row[c] += skip * plain[c] + attended * attending[c]
                if save and has_spatial:
                    _embed(v[lane], value[b, g, m], 0, rows, columns, pitch, columns)
                    _embed(t[lane], top[b, g, m], 0, rows, columns, pitch, columns)
                    _embed(z, alpha[b, g, m], 0, rows, columns, psi_pitch, columns)
                    _embed(index[lane], chosen[b, g, m], 0, rows, columns, pitch, columns)
        for lane in range(lanes):
            out[b, m0 + lane] = total[lane]


@_inline
def _spatial_backward(
    d: Any,
    v: Any,
    t: Any,
    alpha: Any,
    psi: Any,
    reversed_psi: Any,
    offsets: Any,
    rows: int,
    columns: int,
    pitch: int,
    start: int,
    wide: int,
    attended: Any,
    z: Any,
    v_padded: Any,
    t_padded: Any,
    dv: Any,
    dt: Any,
    d_psi: Any,
) -> None:
    """Through the spatial attention of one plane: dV and dT (rows `pitch` apart, from 0) and the kernel's gradient."""
    _embed(v, v_padded, start, rows, columns, columns, pitch)
    _embed(t, t_padded, start, rows, columns, columns, pitch)
    for y in range(rows):
        for c in range(columns):
            p, q = y * columns + c, y * pitch + c
            a = alpha[p]
            z[start + q] = attended * d[p] * v[p] * a * (1 - a)
            dv[q] = attended * d[p] * a
            dt[q] = 0
        for q in range(y * pitch + columns, min((y + 1) * pitch, wide)):
            dv[q] = 0
            dt[q] = 0
    _correlate_add(z, offsets, reversed_psi[0], dv, wide)
    _correlate_add(z, offsets, reversed_psi[1], dt, wide)
    _inner_products(v_padded, offsets, z[start:], wide, d_psi[0], 1.0)
    _inner_products(t_padded, offsets, z[start:], wide, d_psi[1], 1.0)


@_inline
def _response_gradients(
    channel: int, a: Any, skip: Any, d: Any, dv: Any, dt: Any, index: Any, du: Any, df: Any
) -> None:
    """du = dV + dT·[this channel holds the maximum], and df = skip·d + a·du, for one channel."""
    zero = d.dtype.type(0)
    for q in range(d.shape[0]):
        u = dv[q] + (dt[q] if index[q] == channel else zero)
        du[q] = u
        df[q] = skip * d[q] + a * u


@_inline
def _four_products(x: Any, offsets: Any, du: Any, n: int, out: Any) -> None:
    """out[lane, t] = Σ_q du[lane, q]·x[offset[t] + q] for four lanes, three taps a pass."""
    taps = offsets.shape[0]
    d0, d1, d2, d3 = du[0], du[1], du[2], du[3]
    t = 0
    while t < taps:
        t1, t2 = min(t + 1, taps - 1), min(t + 2, taps - 1)
        a, b, c = x[offsets[t] :], x[offsets[t1] :], x[offsets[t2] :]
        zero = d0.dtype.type(0)
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = zero
        for q in range(n):
            a0 += d0[q] * a[q]
            a1 += d1[q] * a[q]
            a2 += d2[q] * a[q]
            a3 += d3[q] * a[q]
            b0 += d0[q] * b[q]
            b1 += d1[q] * b[q]
            b2 += d2[q] * b[q]
            b3 += d3[q] * b[q]
            c0 += d0[q] * c[q]
            c1 += d1[q] * c[q]
            c2 += d2[q] * c[q]
            c3 += d3[q] * c[q]
        out[0, t], out[1, t], out[2, t], out[3, t] = a0, a1, a2, a3
        out[0, t1], out[1, t1], out[2, t1], out[3, t1] = b0, b1, b2, b3
        out[0, t2], out[1, t2], out[2, t2], out[3, t2] = c0, c1, c2, c3
        t += 3


@_ordered
def _four_scatters(dx: Any, offsets: Any, w: Any, df: Any, n: int) -> None:
    """dx[offset[t] + q] += Σ_lane w[lane, t]·df[lane, q] for four lanes."""
    d0, d1, d2, d3 = df[0], df[1], df[2], df[3]
    for t in range(offsets.shape[0]):
        target = dx[offsets[t] :]
        w0, w1, w2, w3 = w[0, t], w[1, t], w[2, t], w[3, t]
        for q in range(n):
            target[q] = w3 * d3[q] + (w2 * d2[q] + (w1 * d1[q] + (w0 * d0[q] + target[q])))


@_compile
def backward(
    slot: int,
    start: int,
    stop: int,
    x: Any,
    w: Any,
    offsets: Any,
    psi: Any,
    reversed_psi: Any,
    psi_offsets: Any,
    sizes: Any,
    factors: Any,
    flags: Any,
    grad: Any,
    value: Any,
    top: Any,
    alpha: Any,
    chosen: Any,
    gate: Any,
    dx: Any,
    d_gate: Any,
    dw: Any,
    d_psi: Any,
) -> None:
    """Gradients of tasks (sample, pose of the input), all but those through the channel statistics.

    grad (B, M, P) is the output's gradient times the scale; adds to dx (B, G, I, N), dw (slots, G, M, I, K) (without
    the plain convolution's, which the caller has) and d_psi (slots, G, M, 2, A); writes d_gate (B, G, M, I).
    """
    depth, channels = x.shape[1:3]
    outputs, taps = w.shape[1], offsets.shape[0]
    rows, columns, pitch, wide, psi_pitch, psi_wide, psi_start, psi_padded = _eight(sizes)
    skip, attended = factors[0], factors[1]
    has_channel, has_spatial = flags[0], flags[1]
    kind = x.dtype
    d = np.zeros((4, wide), kind)
    dv = np.zeros((4, wide), kind)
    dt = np.zeros((4, wide), kind)
    index = np.full((4, wide), -1, np.int32)
    du = np.zeros((4, wide), kind)
    df = np.zeros((4, wide), kind)
    block = np.zeros((4, taps), kind)
    products = np.zeros((4, taps), kind)
    z = np.zeros(psi_padded, kind)
    v_padded = np.zeros(psi_padded, kind)
    t_padded = np.zeros(psi_padded, kind)
    dv_map = np.zeros(psi_wide, kind)
    dt_map = np.zeros(psi_wide, kind)
    for task in range(start, stop):
        b, g = task // depth, task % depth
        for m0 in range(0, outputs, 4):
            lanes = min(4, outputs - m0)
            for lane in range(4):
                if lane >= lanes:  # absent lanes contribute zeros
                    d[lane, :] = 0
                    dv[lane, :] = 0
                    dt[lane, :] = 0
                    block[lane, :] = 0
                    continue
                m = m0 + lane
                _embed(grad[b, m], d[lane], 0, rows, columns, columns, pitch)
                if has_spatial:
                    _spatial_backward(
                        grad[b, m],
                        value[b, g, m],
                        top[b, g, m],
                        alpha[b, g, m],
                        psi[g, m],
                        reversed_psi[g, m],
                        psi_offsets,
                        rows,
                        columns,
                        psi_pitch,
                        psi_start,
                        psi_wide,
                        attended,
                        z,
                        v_padded,
                        t_padded,
                        dv_map,
                        dt_map,
                        d_psi[slot, g, m],
                    )
                    _embed(dv_map, dv[lane], 0, rows, columns, psi_pitch, pitch)
                    _embed(dt_map, dt[lane], 0, rows, columns, psi_pitch, pitch)
                    _embed(chosen[b, g, m], index[lane], 0, rows, columns, columns, pitch)
                else:
                    for q in range(wide):
                        dv[lane, q] = attended * d[lane, q]
            for i in range(channels):
                for lane in range(lanes):
                    a = gate[b, g, m0 + lane, i] if has_channel else gate[0, 0, 0, 0]
                    _response_gradients(i, a, skip, d[lane], dv[lane], dt[lane], index[lane], du[lane], df[lane])
                    block[lane] = w[g, m0 + lane, i]
                for lane in range(lanes, 4):
                    du[lane, :] = 0
                    df[lane, :] = 0
                _four_products(x[b, g, i], offsets, du, wide, products)
                _four_scatters(dx[b, g, i], offsets, block, df, wide)
                for lane in range(lanes):
                    m = m0 + lane
                    a = gate[b, g, m, i] if has_channel else gate[0, 0, 0, 0]
                    through_gate = kind.type(0)
                    for tap in range(taps):
                        through_gate += block[lane, tap] * products[lane, tap]
                        dw[slot, g, m, i, tap] += a * products[lane, tap]
                    if has_channel:
                        d_gate[b, g, m, i] = through_gate


@_compile
def statistics_backward(
    slot: int,
    start: int,
    stop: int,
    x: Any,
    w: Any,
    offsets: Any,
    sizes: Any,
    windows: Any,
    d_mean: Any,
    d_maximum: Any,
    position: Any,
    dx: Any,
    dw: Any,
) -> None:
    """Gradients through the channel statistics of tasks (sample, pose of the input).

    The mean of f~ is the kernel times the windows' means; its maximum is one sample: no pass over f~. d_mean, d_maximum
    and position are (B, G, M, I); adds to dx (B, G, I, N) and dw (slots, G, M, I, K).
    """
    depth, channels = x.shape[1:3]
    outputs, taps = w.shape[1], offsets.shape[0]
    rows, columns, pitch = sizes[0], sizes[1], sizes[2]
    positions = rows * columns
    coefficient = np.zeros(taps, x.dtype)
    for task in range(start, stop):
        b, g = task // depth, task % depth
        for i in range(channels):
            plane, d_plane = x[b, g, i], dx[b, g, i]
            coefficient[:] = 0
            for m in range(outputs):
                from_mean, from_maximum = d_mean[b, g, m, i], d_maximum[b, g, m, i]
                place = position[b, g, m, i]
                shift = (place // columns) * pitch + place % columns
                for tap in range(taps):
                    weight = w[g, m, i, tap]
                    coefficient[tap] += from_mean * weight
                    dw[slot, g, m, i, tap] += (
                        from_mean * windows[b, g, i, tap] + from_maximum * plane[offsets[tap] + shift]
                    )
                    d_plane[offsets[tap] + shift] += from_maximum * weight
            for tap in range(taps):
                share = coefficient[tap] / positions
                for y in range(rows):
                    row = d_plane[offsets[tap] + y * pitch :]
                    for c in range(columns):
                        row[c] += share


def _over_chunks(kernel: Any) -> Any:
    """A kernel over all chunks of its tasks, chunk c being ``bounds[c] … bounds[c + 1] - 1``, on OpenMP's threads."""

    @njit(parallel=True, nogil=True, cache=True)
    def run(bounds: Any, arguments: Any) -> None:
        for chunk in prange(bounds.shape[0] - 1):
            kernel(chunk, bounds[chunk], bounds[chunk + 1], *arguments)

    return run


PARALLEL = {kernel: _over_chunks(kernel) for kernel in (window_means, forward, backward, statistics_backward)}
