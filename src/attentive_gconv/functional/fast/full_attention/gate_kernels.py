"""Compiled gate of full channel attention, forward and backward; sizes and flags of the streaming kernels.

    α_C = σ( W2·relu(W1·mean) + W2·relu(W1·max) ), for a block of outputs and one pose of the input at a time

`...full_attention.forward_kernels` says how outputs, blocks and vectors are laid out.
"""

from typing import Any, NamedTuple

from attentive_gconv.functional.fast.numba_runtime.aligned_memory import aligned_empty
from attentive_gconv.functional.fast.numba_runtime.jit import in_order
from attentive_gconv.functional.fast.numba_runtime.logistic import logistic
from attentive_gconv.functional.fast.numba_runtime.simd import (
    add,
    fma,
    lanes_of,
    load,
    multiply,
    splat,
    store,
    subtract,
    where_at_most,
)


class Sizes(NamedTuple):
    """Sizes of a problem: see `attentive_gconv.functional.fast.full_attention.problem` and `...layout`."""

    depth: int  # G
    channels: int  # I
    blocks: int  # of outputs
    outputs: int  # M, without what fills the last block
    taps: int  # K
    positions: int  # P
    plane: int  # samples of a spread input plane, N
    phase_plane: int  # of one of its stride phases
    hidden: int  # R
    map_taps: int  # A
    map_plane: int  # places of a padded map
    map_centre: int  # where the first position lies in a padded map


class Flags(NamedTuple):
    """Which parts the attention has."""

    channel: bool
    spatial: bool


@in_order
def rectified(h: Any, zero: Any) -> Any:
    """relu, through which NaN passes."""
    return where_at_most(h, zero, zero, h)


@in_order
def hidden_layer(fc1: Any, row: int, statistic: Any, hidden: int, channels: int, out: Any) -> None:
    """W1·s of one statistic, before the relu."""
    step = lanes_of(fc1)
    for r in range(hidden):
        h = splat(fc1.dtype.type(0))
        for i in range(channels):
            h = fma(load(fc1, row + (r * channels + i) * step), load(statistic, i * step), h)
        store(out, r * step, h)


@in_order
def channel_gate(
    mean: Any, top: Any, fc1: Any, row1: int, fc2: Any, row2: int, sizes: Any, constants: Any, out: Any
) -> None:
    """α_C = σ(W2·relu(W1·mean) + W2·relu(W1·max))."""
    step = lanes_of(fc1)
    zero = splat(fc1.dtype.type(0))
    hidden = aligned_empty(sizes.hidden * step, fc1)
    other = aligned_empty(sizes.hidden * step, fc1)
    hidden_layer(fc1, row1, mean, sizes.hidden, sizes.channels, hidden)
    hidden_layer(fc1, row1, top, sizes.hidden, sizes.channels, other)
    for r in range(sizes.hidden):
        both = add(rectified(load(hidden, r * step), zero), rectified(load(other, r * step), zero))
        store(hidden, r * step, both)
    for i in range(sizes.channels):
        logit = zero
        for r in range(sizes.hidden):
            logit = fma(load(fc2, row2 + (i * sizes.hidden + r) * step), load(hidden, r * step), logit)
        store(out, i * step, logistic(logit, constants))


@in_order
def channel_gate_backward(
    mean: Any, top: Any, gates: Any, kept: int, fc1: Any, row1: int, fc2: Any, row2: int, d_gate: Any, sizes: Any,
    d_mean: Any, d_top: Any, d_fc1: Any, to1: int, d_fc2: Any, to2: int,
) -> None:  # fmt: skip
    """Through the channel gate: gradients of the statistics; those of its weights are added."""
    step = lanes_of(fc1)
    zero, one = splat(fc1.dtype.type(0)), splat(fc1.dtype.type(1))
    hidden, channels = sizes.hidden, sizes.channels
    of_mean = aligned_empty(hidden * step, fc1)
    of_top = aligned_empty(hidden * step, fc1)
    hidden_layer(fc1, row1, mean[kept:], hidden, channels, of_mean)
    hidden_layer(fc1, row1, top[kept:], hidden, channels, of_top)
    for i in range(channels):
        a = load(gates, i * step)
        store(d_gate, i * step, multiply(load(d_gate, i * step), multiply(a, subtract(one, a))))
        store(d_mean, i * step, zero)
        store(d_top, i * step, zero)
    for r in range(hidden):
        h_mean, h_top = load(of_mean, r * step), load(of_top, r * step)
        both = add(rectified(h_mean, zero), rectified(h_top, zero))
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
