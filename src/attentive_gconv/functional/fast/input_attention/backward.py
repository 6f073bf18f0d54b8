"""The gradients of attended maps, compiled, one sample after the other.

Arrays are as in `attentive_gconv.functional.fast.input_attention.forward`; ``slot`` numbers the chunk of samples, and
each has its own sums of the weights' gradients. Formulas and names: `...input_attention.custom_function`.
"""

from typing import Any

import numpy as np

from attentive_gconv.functional.fast.input_attention.correlation import (
    BLOCK,
    Plane,
    add_kernel_gradient,
    correlate,
    fill,
    in_blocks,
    shifts_of,
)
from attentive_gconv.functional.fast.input_attention.forward import Kept, Rule
from attentive_gconv.functional.fast.input_attention.transforms import (
    Weights,
    add_matrix,
    add_scaled_kernel,
    matrix,
    scaled_kernel,
)
from attentive_gconv.functional.fast.numba_runtime.jit import reordered
from attentive_gconv.functional.fast.numba_runtime.regions import Run, run_region

# sums may be reordered (vectorised); NaN and infinities keep their meaning


@reordered
def _spatial_gradient(
    grad: Any, x: Any, alpha: Any, attention: Any, pose: Any, rule: Rule, plane: Plane, total: Any, padded: Any
) -> None:
    """The gradient of the logits of α_X, in planes: attended·Σ_c α_C·x·grad, through the gate."""
    channels, order, positions = x.shape
    one, take = x.dtype.type(1), x.dtype.type(rule.attended)
    if pose.size > 0:
        padded[:] = 0
    for h in range(order):
        for p in range(positions):
            total[p] = 0
        for c in range(channels):
            row, g = x[c, h], grad[c, h]
            a = take * (alpha[c * order + h] if alpha.size > 0 else one)
            for p in range(positions):
                total[p] += a * (row[p] * g[p])
        gate = attention[h]
        for p in range(positions):
            total[p] *= gate[p] * (one - gate[p])
        if pose.size > 0:
            for p in range(positions):
                place = plane.start + p // plane.width * plane.row + p % plane.width
                padded[pose[p] * plane.size + place] = total[p]
        else:
            fill(padded, h, plane, total)


@reordered
def _rows_of(padded: Any, index: int, plane: Plane, factor: Any, out: Any) -> None:
    """Row ``index`` of results without what lies in the border columns, times a factor."""
    for y in range(plane.height):
        at = index * plane.length + y * plane.row
        for x in range(plane.width):
            out[y * plane.width + x] = factor * padded[at + x]


@reordered
def _map_gradient(
    grad: Any,
    x: Any,
    alpha: Any,
    attention: Any,
    rule: Rule,
    plane: Plane,
    of_seen: Any,
    which: Any,
    dx: Any,
    d_alpha: Any,
) -> None:
    """dx = skip·grad + α_C·q and dα_C = Σ_p x·q; ``of_seen``: the gradient of the statistics over channels, in rows."""
    channels, order, positions = x.shape
    number = x.dtype.type
    keep, take, zero = number(rule.skip), number(rule.attended), number(0)
    weight, q = np.full(positions, take, x.dtype), np.empty(positions, x.dtype)
    share, highest = np.zeros(positions, x.dtype), np.zeros(positions, x.dtype)
    chosen = np.full(positions, -1, np.int32)
    for h in range(order):
        if attention.size > 0:
            gate = attention[h]
            for p in range(positions):
                weight[p] = take * gate[p]
            if rule.mean_of_channels >= 0:
                index = rule.mean_of_channels * order + h
                _rows_of(of_seen, index, plane, number(1) / number(channels), share)
            if rule.maximum_of_channels >= 0:
                _rows_of(of_seen, rule.maximum_of_channels * order + h, plane, number(1), highest)
                for p in range(positions):
                    chosen[p] = which[h, p]
        for c in range(channels):
            row, g, target, this = x[c, h], grad[c, h], dx[c, h], np.int32(c)
            a = alpha[c * order + h] if alpha.size > 0 else number(1)
            total = zero
            for p in range(positions):
                value = weight[p] * g[p] + (share[p] + (highest[p] if chosen[p] == this else zero))
                q[p] = value
                total += value * row[p]
            if alpha.size > 0:
                d_alpha[c * order + h] = total
            if keep != 0:
                for p in range(positions):
                    target[p] = keep * g[p] + a * q[p]
            else:
                for p in range(positions):
                    target[p] = a * q[p]


@reordered
def _gate_gradient(
    fc1: Any, fc2: Any, first: Any, hidden: Any, alpha: Any, d_alpha: Any, d_first: Any, d_fc1: Any, d_fc2: Any
) -> None:
    """Add the gradients of the two matrices; ``d_first`` becomes that of the statistics over positions."""
    kinds, units = hidden.shape
    one, zero = alpha.dtype.type(1), alpha.dtype.type(0)
    seen, d_hidden = np.zeros(units, alpha.dtype), np.zeros(units, alpha.dtype)
    for s in range(kinds):
        for r in range(units):
            seen[r] += hidden[s, r]
    for c in range(alpha.shape[0]):
        towards = d_alpha[c] * alpha[c] * (one - alpha[c])
        row, target = fc2[c], d_fc2[c]
        for r in range(units):
            target[r] += towards * seen[r]
            d_hidden[r] += towards * row[r]
    for s in range(kinds):
        d_values, values = d_first[s], first[s]
        for c in range(d_values.shape[0]):
            d_values[c] = 0
        for r in range(units):
            towards = zero if hidden[s, r] <= 0 else d_hidden[r]
            row, target = fc1[r], d_fc1[r]
            for c in range(row.shape[0]):
                target[c] += towards * values[c]
                d_values[c] += towards * row[c]


@reordered
def _add_position_gradient(dx: Any, rule: Rule, d_first: Any, place: Any) -> None:
    """Add to dx (N, P) what comes through its statistics over positions."""
    rows, positions = dx.shape
    for n in range(rows):
        row = dx[n]
        if rule.mean_of_positions >= 0:
            share = d_first[rule.mean_of_positions, n] / dx.dtype.type(positions)
            for p in range(positions):
                row[p] += share
        if rule.maximum_of_positions >= 0:
            row[place[n]] += d_first[rule.maximum_of_positions, n]


@reordered
def _backward(
    slot: int,
    start: int,
    stop: int,
    grad: Any,
    x: Any,
    weights: Weights,
    rule: Rule,
    plane: Plane,
    kept: Kept,
    dx: Any,
    d_fc1: Any,
    d_fc2: Any,
    d_psi: Any,
) -> None:
    """The gradients of some samples: ``dx``, and sums in this slot's part of the weights'."""
    _, channels, order, positions = x.shape
    total, d_alpha = np.empty(positions, x.dtype), np.empty(channels * order, x.dtype)
    shifts, fc1, fc2 = shifts_of(plane), matrix(weights.fc1, weights.table), matrix(weights.fc2, weights.table)
    kernel = scaled_kernel(weights)
    transforms, inputs = kernel.shape[0], kernel.shape[1] // shifts.shape[0]
    taps = in_blocks(kernel, shifts.shape[0], True)
    of_fc1, of_fc2 = np.zeros(fc1.shape, x.dtype), np.zeros(fc2.shape, x.dtype)
    of_kernel = np.zeros((kernel.shape[1], -(-transforms // BLOCK) * BLOCK), x.dtype)
    seen_planes = np.zeros(inputs * plane.size, x.dtype)
    grad_planes = np.zeros(transforms * plane.size, x.dtype)
    of_seen = np.empty(-(-inputs // BLOCK) * BLOCK * plane.length, x.dtype)
    d_first = np.empty(kept.first.shape[1:], x.dtype)
    for b in range(start, stop):
        alpha, attention = kept.alpha[b], kept.attention[b]
        if transforms > 0:
            pose = kept.pose[b]
            _spatial_gradient(grad[b], x[b], alpha, attention, pose, rule, plane, total, grad_planes)
            for s in range(kept.seen.shape[1]):
                for h in range(order):
                    fill(seen_planes, s * order + h, plane, kept.seen[b, s, h])
            correlate(grad_planes, transforms, taps, shifts, plane, of_seen)
            add_kernel_gradient(seen_planes, inputs, grad_planes, transforms, shifts, plane, of_kernel)
        _map_gradient(grad[b], x[b], alpha, attention, rule, plane, of_seen, kept.which[b], dx[b], d_alpha)
        if alpha.size > 0:
            _gate_gradient(fc1, fc2, kept.first[b], kept.hidden[b], alpha, d_alpha, d_first, of_fc1, of_fc2)
            _add_position_gradient(dx[b].reshape((channels * order, positions)), rule, d_first, kept.place[b])
    d_fc1[slot], d_fc2[slot], d_psi[slot] = 0, 0, 0
    add_matrix(of_fc1, weights.table, d_fc1[slot])
    add_matrix(of_fc2, weights.table, d_fc2[slot])
    add_scaled_kernel(of_kernel, weights, d_psi[slot])


@reordered
def backward(run: Run, *arguments: Any) -> None:
    """`_backward` on the threads of a run."""
    run_region(_backward, run, arguments)
