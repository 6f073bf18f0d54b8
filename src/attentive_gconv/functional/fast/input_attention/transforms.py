"""The weights' transforms in compiled kernels, and their transposes, which lead gradients back to the weights."""

from typing import Any, NamedTuple

import numpy as np

from attentive_gconv.functional.fast.numba_runtime.jit import in_order


class Weights(NamedTuple):
    """The weights and the tables of their transforms."""

    fc1: Any  # (R, C, |H|)
    fc2: Any  # (C, R, |H|)
    table: Any  # (|H|, |H|)
    psi: Any  # (S, |H|·k·k), on a planar map (S, k·k)
    places: Any  # transforms of it, (|H|, |H|·k·k) or (|H|, k·k)
    scale: float


@in_order
def matrix(weight: Any, table: Any) -> Any:
    """All transforms of (R, C, |H|) as a matrix (R·|H|, C·|H|)."""
    outputs, inputs, order = weight.shape
    result = np.empty((outputs * order, inputs * order), weight.dtype)
    for o in range(outputs):
        for h in range(order):
            row = result[o * order + h]
            for i in range(inputs):
                for g in range(order):
                    row[i * order + g] = weight[o, i, table[h, g]]
    return result


@in_order
def add_matrix(gradient: Any, table: Any, weight: Any) -> None:
    """The transpose of `matrix`: add the gradient of the matrix to the weight's."""
    outputs, inputs, order = weight.shape
    for o in range(outputs):
        for h in range(order):
            row = gradient[o * order + h]
            for i in range(inputs):
                for g in range(order):
                    weight[o, i, table[h, g]] += row[i * order + g]


@in_order
def scaled_kernel(weights: Weights) -> Any:
    """All transforms of ψ, scaled: (|H|, S·|H|·k·k)."""
    psi, places, scale = weights.psi, weights.places, weights.psi.dtype.type(weights.scale)
    transforms, size = places.shape
    kernel = np.empty((transforms, psi.shape[0] * size), psi.dtype)
    for h in range(transforms):
        for s in range(psi.shape[0]):
            for k in range(size):
                kernel[h, s * size + k] = scale * psi[s, places[h, k]]
    return kernel


@in_order
def add_scaled_kernel(gradient: Any, weights: Weights, psi: Any) -> None:
    """The transpose of `scaled_kernel`; ``gradient`` is (S·|H|·k·k, blocks of transforms)."""
    places, scale = weights.places, psi.dtype.type(weights.scale)
    transforms, size = places.shape
    for s in range(psi.shape[0]):
        for k in range(size):
            row = gradient[s * size + k]
            for h in range(transforms):
                psi[s, places[h, k]] += scale * row[h]
