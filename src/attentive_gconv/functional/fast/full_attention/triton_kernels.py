# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code=assignment
"""Triton kernels of the streaming form's forward pass, and what the backward pass shares with them.

Names are those of `...full_attention.streaming`. A program owns one tile of results, keeps it in
registers and never shares it: no atomics, so results repeat bit for bit. Two kinds of tile:

    outputs m × channels i     every tap's weights (or sums) stay in registers, positions are walked one by one
    outputs m × positions p    channels and taps are walked one by one

The input comes padded and split into stride phases (`Geometry.spread`), so that every tap is one shift and no load of
it needs a bounds check: ``planes`` is ``(B, G, I, N)``, ``points`` the same with channels last, ``(B, G, N, I)``.
Products are outer products of two vectors, by ordinary multiply-adds of the input's dtype: with k² taps there is
nothing that a matrix unit could sum over without being fed zeros, and TF32 is not exact.

NaN: maxima ignore it; the means beside them carry it into the same gates, as in the definition.

Loops over taps whose shifts may be negative are two, over rows and columns of the kernel. From `tap // wide` and
`tap % wide` of one loop Triton 3.6 makes arithmetic in 8 bits, and on an H200 α_X of a single output then read out of
bounds.
"""

import triton
import triton.language as tl


@triton.jit
def tap_shift(
    tap: tl.constexpr,
    wide: tl.constexpr,
    stride_y: tl.constexpr,
    stride_x: tl.constexpr,
    dilation_y: tl.constexpr,
    dilation_x: tl.constexpr,
    pitch,
    phase,
):
    """`Geometry.offsets` of one tap of a kernel that is `wide` taps wide; phases are `phase` numbers apart."""
    down: tl.constexpr = (tap // wide) * dilation_y
    right: tl.constexpr = (tap % wide) * dilation_x
    which: tl.constexpr = (down % stride_y) * stride_x + right % stride_x
    row: tl.constexpr = down // stride_y
    column: tl.constexpr = right // stride_x
    return which * phase + row * pitch + column


@triton.jit
def window_means(
    planes, out, channels, rows, columns, pitch, phase, length,
    wide: tl.constexpr, stride_y: tl.constexpr, stride_x: tl.constexpr,
    dilation_y: tl.constexpr, dilation_x: tl.constexpr, taps: tl.constexpr,
    block_i: tl.constexpr, block_p: tl.constexpr,
):  # fmt: skip
    """The mean of what every tap sees, out ``(B, G, K, I)``. Programs: (b, g) × blocks of i."""
    blocks = tl.cdiv(channels, block_i)
    place = tl.program_id(0).to(tl.int64)
    image, i = place // blocks, (place % blocks) * block_i + tl.arange(0, block_i)
    start = planes + (image * channels + i)[:, None] * length
    positions = rows * columns
    for tap in tl.static_range(taps):
        shift = tap_shift(tap, wide, stride_y, stride_x, dilation_y, dilation_x, pitch, phase)
        total = tl.zeros([block_i, block_p], planes.dtype.element_ty)
        for first in range(0, positions, block_p):
            p = first + tl.arange(0, block_p)
            seen = (p // columns) * pitch + p % columns + shift
            total += tl.load(start + seen[None, :], (i < channels)[:, None] & (p < positions)[None, :], 0.0)
        mean = tl.sum(total, 1) / positions
        tl.store(out + (image * taps + tap) * channels + i, mean, i < channels)


@triton.jit
def position_maxima(
    points, w, maximum, position,
    depth, outputs, channels, rows, columns, pitch, phase, length,
    wide: tl.constexpr, stride_y: tl.constexpr, stride_x: tl.constexpr,
    dilation_y: tl.constexpr, dilation_x: tl.constexpr, taps: tl.constexpr,
    block_m: tl.constexpr, block_i: tl.constexpr,
):  # fmt: skip
    """max f~ over positions and its first place, both ``(B, G, M, I)``; w ``(G, M, K, I)``.

    Programs: (b, g) × blocks of i × blocks of m.
    """
    blocks_m, blocks_i = tl.cdiv(outputs, block_m), tl.cdiv(channels, block_i)
    place = tl.program_id(0).to(tl.int64)
    m = (place % blocks_m) * block_m + tl.arange(0, block_m)
    i = (place // blocks_m % blocks_i) * block_i + tl.arange(0, block_i)
    image = place // (blocks_m * blocks_i)
    inside = (m < outputs)[:, None] & (i < channels)[None, :]
    kernels = w + ((image % depth) * outputs + m)[:, None] * taps * channels + i[None, :]
    weights = ()
    for tap in tl.static_range(taps):
        weights += (tl.load(kernels + tap * channels, inside, 0.0),)
    best = tl.full([block_m, block_i], float("-inf"), points.dtype.element_ty)
    where = tl.zeros([block_m, block_i], tl.int32)
    for y in range(rows):
        for x in range(columns):
            start = points + (image * length + y * pitch + x) * channels + i
            response = tl.zeros([block_m, block_i], points.dtype.element_ty)
            for tap in tl.static_range(taps):
                shift = tap_shift(tap, wide, stride_y, stride_x, dilation_y, dilation_x, pitch, phase)
                seen = tl.load(start + shift * channels, i < channels, 0.0)
                response += weights[tap] * seen[None, :]
            larger = response > best
            best = tl.where(larger, response, best)
            where = tl.where(larger, y * columns + x, where)
    target = (image * outputs + m)[:, None] * channels + i[None, :]
    tl.store(maximum + target, best, inside)
    tl.store(position + target, where, inside)


@triton.jit
def attend_channels(
    planes, w, gate, value, top, chosen, out,
    depth, outputs, channels, rows, columns, pitch, phase, length,
    wide: tl.constexpr, stride_y: tl.constexpr, stride_x: tl.constexpr,
    dilation_y: tl.constexpr, dilation_x: tl.constexpr, taps: tl.constexpr,
    channel: tl.constexpr, spatial: tl.constexpr, skip: tl.constexpr, attended: tl.constexpr,
    block_m: tl.constexpr, block_p: tl.constexpr,
):  # fmt: skip
    """V, T and i* ``(B, G, M, P)``, and in `out` ``(B, M, P)`` the skipped part: all of the output without α_X.

    w ``(G, I, K, M)``, gate ``(B, G, M, I)``. Programs: b × blocks of p × blocks of m.
    """
    positions = rows * columns
    blocks_m, blocks_p = tl.cdiv(outputs, block_m), tl.cdiv(positions, block_p)
    place = tl.program_id(0).to(tl.int64)
    m = (place % blocks_m) * block_m + tl.arange(0, block_m)
    p = (place // blocks_m % blocks_p) * block_p + tl.arange(0, block_p)
    b = place // (blocks_m * blocks_p)
    inside = (m < outputs)[:, None] & (p < positions)[None, :]
    start = planes + (p // columns) * pitch + p % columns
    zeros = tl.zeros([block_m, block_p], planes.dtype.element_ty)
    total = zeros
    for g in range(depth):
        image = b * depth + g
        v, plain, index = zeros, zeros, tl.zeros([block_m, block_p], tl.int32)
        largest = tl.full([block_m, block_p], float("-inf"), planes.dtype.element_ty)
        for i in range(channels):
            kernels = w + (g * channels + i) * taps * outputs + m
            response = zeros
            for tap in tl.static_range(taps):
                shift = tap_shift(tap, wide, stride_y, stride_x, dilation_y, dilation_x, pitch, phase)
                weight = tl.load(kernels + tap * outputs, m < outputs, 0.0)
                seen = tl.load(start + (image * channels + i) * length + shift, p < positions, 0.0)
                response += weight[:, None] * seen[None, :]
            u = response
            if channel:
                u *= tl.load(gate + (image * outputs + m) * channels + i, m < outputs, 0.0)[:, None]
                if skip != 0:
                    plain += response
            v += u
            if spatial:
                larger = u > largest
                largest = tl.where(larger, u, largest)
                index = tl.where(larger, i, index)
        if skip != 0:
            total += skip * (plain if channel else v)
        if spatial:
            target = (image * outputs + m)[:, None] * positions + p[None, :]
            tl.store(value + target, v, inside)
            tl.store(top + target, largest, inside)
            tl.store(chosen + target, index.to(chosen.dtype.element_ty), inside)
        else:
            total += attended * v
    tl.store(out + (b * outputs + m)[:, None] * positions + p[None, :], total, inside)


@triton.jit
def attend_positions(
    value, top, psi, alpha, out, depth, outputs, rows, columns,
    taps: tl.constexpr, wide: tl.constexpr, dilation: tl.constexpr, reach_y: tl.constexpr, reach_x: tl.constexpr,
    attended: tl.constexpr, block_m: tl.constexpr, block_p: tl.constexpr,
):  # fmt: skip
    """α_X ``(B, G, M, P)`` of V and T, and attended·Σ_g α_X·V added to `out`; psi ``(G, M, 2, A)``.

    Programs: b × blocks of p × blocks of m. All outputs of a tile share the bounds checks of its positions.
    """
    positions = rows * columns
    blocks_m, blocks_p = tl.cdiv(outputs, block_m), tl.cdiv(positions, block_p)
    place = tl.program_id(0).to(tl.int64)
    m = (place % blocks_m) * block_m + tl.arange(0, block_m)
    p = (place // blocks_m % blocks_p) * block_p + tl.arange(0, block_p)
    b = place // (blocks_m * blocks_p)
    y, x = p // columns, p % columns
    inside = (m < outputs)[:, None] & (p < positions)[None, :]
    target = (b * outputs + m)[:, None] * positions + p[None, :]
    total = tl.load(out + target, inside, 0.0)
    for g in range(depth):
        here = ((b * depth + g) * outputs + m)[:, None] * positions + p[None, :]
        kernels = psi + (g * outputs + m) * 2 * taps
        logit = tl.zeros([block_m, block_p], value.dtype.element_ty)
        for row in range(taps // wide):
            down = row * dilation - reach_y
            for column in range(wide):
                right = column * dilation - reach_x
                seen = (y + down >= 0) & (y + down < rows) & (x + right >= 0) & (x + right < columns)
                seen = (m < outputs)[:, None] & (seen & (p < positions))[None, :]
                of_value = tl.load(kernels + row * wide + column, m < outputs, 0.0)
                of_top = tl.load(kernels + taps + row * wide + column, m < outputs, 0.0)
                shift = down * columns + right
                logit += of_value[:, None] * tl.load(value + here + shift, seen, 0.0)
                logit += of_top[:, None] * tl.load(top + here + shift, seen, 0.0)
        a = 1 / (1 + tl.exp(-logit))
        tl.store(alpha + here, a, inside)
        total += attended * a * tl.load(value + here, inside, 0.0)
    tl.store(out + target, total, inside)
