# mypy: allow-untyped-defs, allow-incomplete-defs, disable-error-code=assignment
"""Triton kernels of the streaming form's backward pass; see `...full_attention.triton_kernels`.

``d`` is scale·grad ``(B, M, P)``. dz is kept with the zero border that the spatial kernels see (``border``, N numbers a
plane), so that both passes over it are free of bounds checks. du is formed in registers wherever it is needed, from
dV and dV + dT: the one where another channel is the maximum, the other where this one is.
"""

import triton
import triton.language as tl

from attentive_gconv.functional.fast.full_attention.triton_kernels import tap_shift


@triton.jit
def logit_gradients(
    d, value, alpha, border, depth, outputs, rows, columns, length,
    reach_y: tl.constexpr, reach_x: tl.constexpr, attended: tl.constexpr,
    block_m: tl.constexpr, block_p: tl.constexpr,
):  # fmt: skip
    """dz with its border, ``(B, G, M, N)``. Programs: (b, g) × blocks of N × blocks of m."""
    positions = rows * columns
    blocks_m, blocks_p = tl.cdiv(outputs, block_m), tl.cdiv(length, block_p)
    place = tl.program_id(0).to(tl.int64)
    m = (place % blocks_m) * block_m + tl.arange(0, block_m)
    n = (place // blocks_m % blocks_p) * block_p + tl.arange(0, block_p)
    image = place // (blocks_m * blocks_p)
    pitch = columns + 2 * reach_x
    y, x = n // pitch - reach_y, n % pitch - reach_x
    within = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    seen = (m < outputs)[:, None] & within[None, :]
    p = y * columns + x
    here = (image * outputs + m)[:, None] * positions + p[None, :]
    grad = tl.load(d + (image // depth * outputs + m)[:, None] * positions + p[None, :], seen, 0.0)
    a = tl.load(alpha + here, seen, 0.0)
    dz = attended * grad * tl.load(value + here, seen, 0.0) * a * (1 - a)
    inside = (m < outputs)[:, None] & (n < length)[None, :]
    tl.store(border + (image * outputs + m)[:, None] * length + n[None, :], dz, inside)


@triton.jit
def map_gradients(
    d, alpha, border, psi, d_value, d_both,
    depth, outputs, rows, columns, length,
    taps: tl.constexpr, wide: tl.constexpr, dilation: tl.constexpr, reach_y: tl.constexpr, reach_x: tl.constexpr,
    attended: tl.constexpr, block_m: tl.constexpr, block_p: tl.constexpr,
):  # fmt: skip
    """dV and dV + dT, ``(B, G, M, P)``. Programs: (b, g) × blocks of p × blocks of m."""
    positions = rows * columns
    blocks_m, blocks_p = tl.cdiv(outputs, block_m), tl.cdiv(positions, block_p)
    place = tl.program_id(0).to(tl.int64)
    m = (place % blocks_m) * block_m + tl.arange(0, block_m)
    p = (place // blocks_m % blocks_p) * block_p + tl.arange(0, block_p)
    image = place // (blocks_m * blocks_p)
    inside = (m < outputs)[:, None] & (p < positions)[None, :]
    pitch = columns + 2 * reach_x
    # the last tap sees the gradient that lies furthest up and left
    first = (p // columns + 2 * reach_y) * pitch + p % columns + 2 * reach_x
    start = border + (image * outputs + m)[:, None] * length + first[None, :]
    kernels = psi + ((image % depth) * outputs + m) * 2 * taps
    dv = tl.zeros([block_m, block_p], d.dtype.element_ty)
    dt = tl.zeros([block_m, block_p], d.dtype.element_ty)
    for row in range(taps // wide):
        for column in range(wide):
            dz = tl.load(start - (row * pitch + column) * dilation, inside, 0.0)
            tap = row * wide + column
            dv += tl.load(kernels + tap, m < outputs, 0.0)[:, None] * dz
            dt += tl.load(kernels + taps + tap, m < outputs, 0.0)[:, None] * dz
    here = (image * outputs + m)[:, None] * positions + p[None, :]
    grad = tl.load(d + (image // depth * outputs + m)[:, None] * positions + p[None, :], inside, 0.0)
    dv += attended * grad * tl.load(alpha + here, inside, 0.0)
    tl.store(d_value + here, dv, inside)
    tl.store(d_both + here, dv + dt, inside)


@triton.jit
def spatial_weight_gradients(
    value, top, border, out, batch, share, groups,
    rows, columns, length,
    taps: tl.constexpr, wide: tl.constexpr, dilation: tl.constexpr, reach_y: tl.constexpr, reach_x: tl.constexpr,
    block_a: tl.constexpr, block_p: tl.constexpr,
):  # fmt: skip
    """The gradient of psi, a sum for every share of the batch: out ``(S, G·M, 2, A)``.

    Programs: S × (g, m), each with all taps; groups is G·M.
    """
    positions = rows * columns
    place = tl.program_id(0).to(tl.int64)
    part, plane = place // groups, place % groups
    tap = tl.arange(0, block_a)
    pitch = columns + 2 * reach_x
    shift = (2 * reach_y - tap // wide * dilation) * pitch + 2 * reach_x - tap % wide * dilation
    of_value = tl.zeros([block_a, block_p], value.dtype.element_ty)
    of_top = tl.zeros([block_a, block_p], value.dtype.element_ty)
    for b in range(part * share, tl.minimum((part + 1) * share, batch)):
        image = b * groups + plane
        for first in range(0, positions, block_p):
            p = first + tl.arange(0, block_p)
            seen = (p // columns) * pitch + p % columns
            inside = (tap < taps)[:, None] & (p < positions)[None, :]
            dz = tl.load(border + image * length + shift[:, None] + seen[None, :], inside, 0.0)
            of_value += dz * tl.load(value + image * positions + p, p < positions, 0.0)[None, :]
            of_top += dz * tl.load(top + image * positions + p, p < positions, 0.0)[None, :]
    target = out + place * 2 * taps + tap
    tl.store(target, tl.sum(of_value, 1), tap < taps)
    tl.store(target + taps, tl.sum(of_top, 1), tap < taps)


@triton.jit
def weight_gradients(
    points, w, gate, d, d_value, d_both, chosen, d_gate, out,
    batch, share,
    depth, outputs, channels, rows, columns, pitch, phase, length,
    wide: tl.constexpr, stride_y: tl.constexpr, stride_x: tl.constexpr,
    dilation_y: tl.constexpr, dilation_x: tl.constexpr, taps: tl.constexpr,
    channel: tl.constexpr, spatial: tl.constexpr, attended: tl.constexpr,
    block_m: tl.constexpr, block_i: tl.constexpr,
):  # fmt: skip
    """Σ_b α_C·dW' for every share of the batch, out ``(S, G, M, K, I)``, and dα_C = Σ_t w·dW', ``(B, G, M, I)``.

    dW' = Σ_p du·x[p + t]; w ``(G, M, K, I)``. Programs: S × g × blocks of i × blocks of m.
    """
    positions = rows * columns
    blocks_m, blocks_i = tl.cdiv(outputs, block_m), tl.cdiv(channels, block_i)
    place = tl.program_id(0).to(tl.int64)
    m = (place % blocks_m) * block_m + tl.arange(0, block_m)
    i = (place // blocks_m % blocks_i) * block_i + tl.arange(0, block_i)
    g = place // (blocks_m * blocks_i) % depth
    part = place // (blocks_m * blocks_i * depth)
    inside = (m < outputs)[:, None] & (i < channels)[None, :]
    kernel = (g * outputs + m)[:, None] * taps * channels + i[None, :]
    zeros = tl.zeros([block_m, block_i], points.dtype.element_ty)
    total = ()
    for _ in tl.static_range(taps):
        total += (zeros,)
    for b in range(part * share, tl.minimum((part + 1) * share, batch)):
        image = b * depth + g
        planes = (image * outputs + m) * positions
        sums = ()
        for _ in tl.static_range(taps):
            sums += (zeros,)
        for y in range(rows):
            for x in range(columns):
                p = y * columns + x
                if spatial:
                    dv = tl.load(d_value + planes + p, m < outputs, 0.0)
                    both = tl.load(d_both + planes + p, m < outputs, 0.0)
                    index = tl.load(chosen + planes + p, m < outputs, 0).to(tl.int32)
                    du = tl.where(index[:, None] == i[None, :], both[:, None], dv[:, None])
                else:
                    grad = tl.load(d + (b * outputs + m) * positions + p, m < outputs, 0.0)
                    du = tl.broadcast_to((attended * grad)[:, None], [block_m, block_i])
                # loaded as a row of the tile: a vector would change its layout, through shared memory, in every round
                start = points + (image * length + y * pitch + x) * channels + i[None, :]
                longer = ()
                for tap in tl.static_range(taps):
                    shift = tap_shift(tap, wide, stride_y, stride_x, dilation_y, dilation_x, pitch, phase)
                    seen = tl.load(start + shift * channels, (i < channels)[None, :], 0.0)
                    longer += (sums[tap] + du * seen,)
                sums = longer
        # du is that of u = α_C f~
        if channel:
            here = (image * outputs + m)[:, None] * channels + i[None, :]
            a = tl.load(gate + here, inside, 0.0)
            da = zeros
            for tap in tl.static_range(taps):
                da += sums[tap] * tl.load(w + kernel + tap * channels, inside, 0.0)
            tl.store(d_gate + here, da, inside)
        else:
            a = zeros + 1
        longer = ()
        for tap in tl.static_range(taps):
            longer += (total[tap] + a * sums[tap],)
        total = longer
    target = out + part * depth * outputs * taps * channels + kernel
    for tap in tl.static_range(taps):
        tl.store(target + tap * channels, total[tap], inside)


@triton.jit
def maximum_weight_gradients(
    points, d_maximum, position, out, batch, share,
    depth, outputs, channels, rows, columns, pitch, phase, length,
    wide: tl.constexpr, stride_y: tl.constexpr, stride_x: tl.constexpr,
    dilation_y: tl.constexpr, dilation_x: tl.constexpr, taps: tl.constexpr,
    block_m: tl.constexpr, block_i: tl.constexpr,
):  # fmt: skip
    """Σ_b d max f~·x[p* + t], added to the sums of `weight_gradients` by the same programs."""
    blocks_m, blocks_i = tl.cdiv(outputs, block_m), tl.cdiv(channels, block_i)
    place = tl.program_id(0).to(tl.int64)
    m = (place % blocks_m) * block_m + tl.arange(0, block_m)
    i = (place // blocks_m % blocks_i) * block_i + tl.arange(0, block_i)
    g = place // (blocks_m * blocks_i) % depth
    part = place // (blocks_m * blocks_i * depth)
    inside = (m < outputs)[:, None] & (i < channels)[None, :]
    target = out + ((part * depth + g) * outputs + m)[:, None] * taps * channels + i[None, :]
    total = ()
    for tap in tl.static_range(taps):
        total += (tl.load(target + tap * channels, inside, 0.0),)
    for b in range(part * share, tl.minimum((part + 1) * share, batch)):
        image = b * depth + g
        here = (image * outputs + m)[:, None] * channels + i[None, :]
        grad = tl.load(d_maximum + here, inside, 0.0)
        p = tl.load(position + here, inside, 0).to(tl.int32)
        start = points + (image * length + p // columns * pitch + p % columns) * channels + i[None, :]
        longer = ()
        for tap in tl.static_range(taps):
            shift = tap_shift(tap, wide, stride_y, stride_x, dilation_y, dilation_x, pitch, phase)
            longer += (total[tap] + grad * tl.load(start + shift * channels, inside, 0.0),)
        total = longer
    for tap in tl.static_range(taps):
        tl.store(target + tap * channels, total[tap], inside)


@triton.jit
def input_gradients(
    w, gate, d, d_value, d_both, chosen, of_means, out,
    depth, outputs, channels, height, width, rows, columns,
    wide: tl.constexpr, stride_y: tl.constexpr, stride_x: tl.constexpr,
    dilation_y: tl.constexpr, dilation_x: tl.constexpr, padding_y: tl.constexpr, padding_x: tl.constexpr,
    taps: tl.constexpr, channel: tl.constexpr, spatial: tl.constexpr, skip: tl.constexpr, attended: tl.constexpr,
    block_i: tl.constexpr, block_p: tl.constexpr,
):  # fmt: skip
    """dx ``(B, I, G, Y, X)``, gathered at every input position from the outputs that see it; all but that of max f~.

    w ``(G, M, K, I)``; of_means ``(B, G, K, I)`` is what every position gets of the gradient of the means.
    Programs: (b, g) × blocks of input positions × blocks of i.
    """
    positions = rows * columns
    size = height * width
    blocks_i, blocks_p = tl.cdiv(channels, block_i), tl.cdiv(size, block_p)
    place = tl.program_id(0).to(tl.int64)
    i = (place % blocks_i) * block_i + tl.arange(0, block_i)
    q = (place // blocks_i % blocks_p) * block_p + tl.arange(0, block_p)
    image = place // (blocks_i * blocks_p)
    b, g = image // depth, image % depth
    # loaded as columns and rows of the tile: vectors would change their layout, through shared memory, in every round
    of_i, exists = i[:, None], (i < channels)[:, None]
    total = tl.zeros([block_i, block_p], d.dtype.element_ty)
    for row in range(taps // wide):
        down = q // width + padding_y - row * dilation_y
        y = down // stride_y
        for column in range(wide):
            tap = row * wide + column
            right = q % width + padding_x - column * dilation_x
            x = right // stride_x
            seen = (down >= 0) & (right >= 0) & (y * stride_y == down) & (x * stride_x == right)
            seen = (seen & (y < rows) & (x < columns) & (q < size))[None, :]
            p = (y * columns + x)[None, :]
            # apart from the total, so that what no output sees stays free of its NaN
            here = tl.zeros([block_i, block_p], d.dtype.element_ty)
            for m in range(outputs):
                weight = tl.load(w + ((g * outputs + m) * taps + tap) * channels + of_i, exists, 0.0)
                scaled = weight
                if channel:
                    scaled *= tl.load(gate + (image * outputs + m) * channels + of_i, exists, 0.0)
                if spatial:
                    plane = (image * outputs + m) * positions + p
                    index = tl.load(chosen + plane, seen, 0).to(tl.int32)
                    dv, both = tl.load(d_value + plane, seen, 0.0), tl.load(d_both + plane, seen, 0.0)
                    here += scaled * tl.where(index == of_i, both, dv)
                if skip != 0 or not spatial:
                    grad = tl.load(d + (b * outputs + m) * positions + p, seen, 0.0)
                    factor = skip * weight
                    if not spatial:
                        factor += attended * scaled
                    here += factor * grad
            if channel:
                here += tl.load(of_means + (image * taps + tap) * channels + of_i, exists, 0.0)
            total += tl.where(seen, here, 0.0)
    target = ((b * channels + i) * depth + g)[:, None] * size + q[None, :]
    tl.store(out + target, total, (i < channels)[:, None] & (q < size)[None, :])


@triton.jit
def maximum_input_gradients(
    w, d_maximum, position, out,
    depth, outputs, channels, height, width, columns,
    wide: tl.constexpr, stride_y: tl.constexpr, stride_x: tl.constexpr,
    dilation_y: tl.constexpr, dilation_x: tl.constexpr, padding_y: tl.constexpr, padding_x: tl.constexpr,
    taps: tl.constexpr, block_i: tl.constexpr, block_t: tl.constexpr,
):  # fmt: skip
    """The gradient of max f~ added to dx at p* + t. Programs: (b, g) × blocks of i.

    Outputs may share a p*, so that they are added one after the other, by the program that owns the channels' planes:
    one warp, and a barrier between outputs.
    """
    blocks = tl.cdiv(channels, block_i)
    place = tl.program_id(0).to(tl.int64)
    image, i = place // blocks, (place % blocks) * block_i + tl.arange(0, block_i)
    tap = tl.arange(0, block_t)
    inside = (i < channels)[:, None] & (tap < taps)[None, :]
    down, right = tap // wide * dilation_y - padding_y, tap % wide * dilation_x - padding_x
    planes = ((image // depth * channels + i) * depth + image % depth) * height * width
    for m in range(outputs):
        here = (image * outputs + m) * channels + i
        p = tl.load(position + here, i < channels, 0).to(tl.int32)
        grad = tl.load(d_maximum + here, i < channels, 0.0)
        y = (p // columns * stride_y)[:, None] + down[None, :]
        x = (p % columns * stride_x)[:, None] + right[None, :]
        seen = inside & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        kernel = ((image % depth * outputs + m) * taps + tap)[None, :] * channels + i[:, None]
        target = out + planes[:, None] + y * width + x
        found = tl.load(target, seen, 0.0) + grad[:, None] * tl.load(w + kernel, inside, 0.0)
        tl.store(target, found, seen)
        tl.debug_barrier()
