"""Attended maps, compiled: all of a sample is done while it is in cache.

Maps are (B, C, |H|, P), P the positions. What is absent is an array without entries. A kernel works on the samples
``start … stop - 1`` and releases the interpreter lock; ``slot`` numbers the chunk of samples. Formulas and names:
`attentive_gconv.functional.definition.attended_input`.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from attentive_gconv.functional.fast.input_attention.correlation import (
    BLOCK,
    Plane,
    correlate,
    fill,
    in_blocks,
    shifts_of,
)
from attentive_gconv.functional.fast.input_attention.transforms import Weights, matrix, scaled_kernel
from attentive_gconv.functional.fast.numba_runtime.jit import in_order, reordered
from attentive_gconv.functional.fast.numba_runtime.logistic import logistic
from attentive_gconv.functional.fast.numba_runtime.regions import Run, run_region
from attentive_gconv.functional.fast.numba_runtime.simd import lanes_of, load, store

_LARGEST, _LARGEST_OF_EIGHT = np.iinfo(np.int32).max, np.iinfo(np.int64).max


class Kept(NamedTuple):
    """What forward leaves for backward."""

    first: Any  # statistics over positions (B, S, C·|H|)
    place: Any  # of the maximum (B, C·|H|)
    hidden: Any  # (B, S, R·|H|)
    alpha: Any  # α_C (B, C·|H|)
    seen: Any  # statistics over channels (B, S, |H|, P)
    which: Any  # channel of the maximum (B, |H|, P)
    attention: Any  # α_X (B, |H|, P)
    pose: Any  # of the maximum over the transforms, on a planar map (B, P)


class Rule(NamedTuple):
    """skip and attended of the combination; rows of the statistics over positions, and over channels."""

    skip: float
    attended: float
    mean_of_positions: int
    maximum_of_positions: int
    mean_of_channels: int
    maximum_of_channels: int


@reordered
def _first_maximum(row: Any, words: Any) -> Any:
    """Where the maximum of a row without NaN comes first; ``words`` is the row seen as integers.

    With those of negative numbers reversed the integers are ordered as the numbers are; their maximum vectorises, that
    of floating point does not.
    """
    positions = row.shape[0]
    sign = words.dtype.type(8 * words.itemsize - 1)
    magnitude = words.dtype.type(_LARGEST if words.itemsize == 4 else _LARGEST_OF_EIGHT)
    none = np.int32(positions)
    top = words[0] ^ ((words[0] >> sign) & magnitude)
    for p in range(positions):
        top = max(top, words[p] ^ ((words[p] >> sign) & magnitude))
    at = none
    for p in range(positions):
        at = min(at, np.int32(p) if words[p] ^ ((words[p] >> sign) & magnitude) == top else none)
    # the two zeros are different words and the same number
    if row[at] == 0:
        for p in range(positions):
            at = min(at, np.int32(p) if row[p] == 0 else none)
    return at


@reordered
def _position_statistics(x: Any, words: Any, rule: Rule, out: Any, place: Any) -> None:
    """Statistics ``out (S, N)`` of the rows of x (N, P), and the first place of each one's maximum, ``place (N,)``."""
    rows, positions = x.shape
    for n in range(rows):
        row = x[n]
        total = x.dtype.type(0)
        for p in range(positions):
            total += row[p]
        if rule.mean_of_positions >= 0:
            out[rule.mean_of_positions, n] = total / x.dtype.type(positions)
        if rule.maximum_of_positions >= 0:
            at = 0
            if total == total:
                at = _first_maximum(row, words[n])
            else:  # NaN, or infinities of both signs
                for p in range(positions):
                    if row[p] > row[at]:
                        at = p
                    if row[p] != row[p]:
                        at = p
                        break
            out[rule.maximum_of_positions, n] = row[at]
            place[n] = at


@reordered
def _channel_gate(fc1: Any, fc2: Any, first: Any, hidden: Any, alpha: Any) -> None:
    """The hidden units of each statistic, and α_C."""
    kinds, units = hidden.shape
    one, zero = alpha.dtype.type(1), alpha.dtype.type(0)
    seen = np.zeros(units, alpha.dtype)
    for s in range(kinds):
        for r in range(units):
            row, values, logit = fc1[r], first[s], zero
            for c in range(row.shape[0]):
                logit += row[c] * values[c]
            hidden[s, r] = zero if logit <= 0 else logit
            seen[r] += hidden[s, r]
    for c in range(alpha.shape[0]):
        row, logit = fc2[c], zero
        for r in range(units):
            logit += row[r] * seen[r]
        alpha[c] = one / (one + math.exp(-logit))


@reordered
def _channel_statistics(x: Any, alpha: Any, rule: Rule, out: Any, which: Any, total: Any, top: Any) -> None:
    """Statistics ``out (S, |H|, P)`` of u = α·x over the channels, and the first channel of each maximum."""
    channels, order, positions = x.shape
    one = x.dtype.type(1)
    for h in range(order):
        index = which[h]
        for c in range(channels):
            a, row, number = alpha[c * order + h] if alpha.size > 0 else one, x[c, h], np.int32(c)
            if c == 0:
                for p in range(positions):
                    u = a * row[p]
                    total[p] = u
                    top[p] = u
                    index[p] = number
            else:
                for p in range(positions):
                    u = a * row[p]
                    total[p] += u
                    larger = u > top[p]
                    top[p] = u if larger else top[p]
                    index[p] = number if larger else index[p]
        unordered = 0
        for p in range(positions):
            unordered += total[p] != total[p]
        if unordered > 0:  # NaN, or infinities of both signs
            for p in range(positions):
                for c in range(channels):
                    u = (alpha[c * order + h] if alpha.size > 0 else one) * x[c, h, p]
                    if u != u:
                        top[p] = u
                        index[p] = c
                        break
        if rule.mean_of_channels >= 0:
            target, share = out[rule.mean_of_channels, h], one / x.dtype.type(channels)
            for p in range(positions):
                target[p] = total[p] * share
        if rule.maximum_of_channels >= 0:
            target = out[rule.maximum_of_channels, h]
            for p in range(positions):
                target[p] = top[p]


@reordered
def _first_transform(logits: Any, transforms: int, plane: Plane, pose: Any) -> None:
    """On a planar map the maximum over the transforms, in place of the first one's logits, and whose it is."""
    for y in range(plane.height):
        for x in range(plane.width):
            q = y * plane.row + x
            best = 0
            for h in range(transforms):
                value = logits[h * plane.length + q]
                if value > logits[best * plane.length + q]:
                    best = h
                if value != value:
                    best = h
                    break
            pose[y * plane.width + x] = best
            logits[q] = logits[best * plane.length + q]


@reordered
def _spatial_gate(logits: Any, plane: Plane, constants: Any, attention: Any) -> None:
    """α_X of the logits, which lie in rows."""
    step = lanes_of(logits)
    for h in range(attention.shape[0]):
        for q in range(0, plane.length, step):
            at = h * plane.length + q
            store(logits, at, logistic(load(logits, at), constants))
        target = attention[h]
        for y in range(plane.height):
            at = h * plane.length + y * plane.row
            for x in range(plane.width):
                target[y * plane.width + x] = logits[at + x]


# in order: x - α·x must not become (1 - α)·x, which differs for infinities
@in_order
def _combine(x: Any, alpha: Any, attention: Any, rule: Rule, ones: Any, out: Any) -> None:
    """out = skip·x + attended·α_X·α_C·x."""
    channels, order, positions = x.shape
    number = x.dtype.type
    keep, take = number(rule.skip), number(rule.attended)
    for c in range(channels):
        for h in range(order):
            row, target = x[c, h], out[c, h]
            a = alpha[c * order + h] if alpha.size > 0 else number(1)
            s = attention[h] if attention.size > 0 else ones
            if keep != 0:
                for p in range(positions):
                    target[p] = keep * row[p] + take * (s[p] * (a * row[p]))
            else:
                for p in range(positions):
                    target[p] = take * (s[p] * (a * row[p]))


@reordered
def _forward(
    slot: int,
    start: int,
    stop: int,
    x: Any,
    words: Any,
    weights: Weights,
    rule: Rule,
    plane: Plane,
    constants: Any,
    kept: Kept,
    out: Any,
) -> None:
    """The attended maps of some samples, and what backward needs; ``words`` is x seen as integers."""
    _, channels, order, positions = x.shape
    ones, total, top = np.ones(positions, x.dtype), np.empty(positions, x.dtype), np.empty(positions, x.dtype)
    shifts, fc1, fc2 = shifts_of(plane), matrix(weights.fc1, weights.table), matrix(weights.fc2, weights.table)
    kernel = scaled_kernel(weights)
    transforms, inputs = kernel.shape[0], kernel.shape[1] // shifts.shape[0]
    taps = in_blocks(kernel, shifts.shape[0], False)
    padded = np.zeros(inputs * plane.size, x.dtype)
    logits = np.empty(-(-transforms // BLOCK) * BLOCK * plane.length, x.dtype)
    for b in range(start, stop):
        alpha, attention = kept.alpha[b], kept.attention[b]
        if alpha.size > 0:
            rows = (channels * order, positions)
            _position_statistics(x[b].reshape(rows), words[b].reshape(rows), rule, kept.first[b], kept.place[b])
            _channel_gate(fc1, fc2, kept.first[b], kept.hidden[b], alpha)
        if transforms > 0:
            seen = kept.seen[b]
            _channel_statistics(x[b], alpha, rule, seen, kept.which[b], total, top)
            for s in range(seen.shape[0]):
                for h in range(order):
                    fill(padded, s * order + h, plane, seen[s, h])
            correlate(padded, inputs, taps, shifts, plane, logits)
            if kept.pose.size > 0:
                _first_transform(logits, transforms, plane, kept.pose[b])
            _spatial_gate(logits, plane, constants, attention)
        _combine(x[b], alpha, attention, rule, ones, out[b])


@reordered
def forward(run: Run, *arguments: Any) -> None:
    """`_forward` on the threads of a run."""
    run_region(_forward, run, arguments)
