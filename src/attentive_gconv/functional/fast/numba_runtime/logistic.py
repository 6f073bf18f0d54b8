"""The logistic function of a vector, for compiled kernels."""

import math
from functools import cache
from typing import Any

import numpy as np

from attentive_gconv.functional.fast.numba_runtime.jit import in_order
from attentive_gconv.functional.fast.numba_runtime.simd import (
    add,
    divide,
    fma,
    multiply,
    power_of_two,
    splat,
    subtract,
    where_greater,
)

EXPONENT_TERMS = 13


@cache
def exponential_constants(kind: Any) -> Any:
    """Constants of `logistic` for a dtype: limit, log2 e, the rounding constant, ln 2 as the sum of two numbers, Taylor
    coefficients, the largest number. Cached: not to be written to.
    """
    limit, rounding, high = (
        (700.0, 1.5 * 2.0**52, 6.93145751953125e-1) if kind == np.float64 else (87.0, 1.5 * 2.0**23, 0.693359375)
    )
    taylor = [1 / math.factorial(term) for term in range(EXPONENT_TERMS, 0, -1)]
    return np.array([limit, math.log2(math.e), rounding, high, math.log(2) - high, *taylor, np.finfo(kind).max], kind)


@in_order
def logistic(z: Any, constants: Any) -> Any:
    """1 / (1 + exp(-z)): exp(v) = 2^k·exp(r), |r| ≤ ln 2 / 2, exp(r) by its Taylor polynomial.

    It is 0 at -∞: another infinity that meets it has to become NaN.
    """
    one, limit = splat(constants.dtype.type(1)), splat(constants[0])
    v = subtract(splat(constants.dtype.type(0)), z)
    v = where_greater(v, limit, limit, v)
    lowest = subtract(splat(constants.dtype.type(0)), limit)
    v = where_greater(lowest, v, lowest, v)
    rounding = splat(constants[2])
    k = subtract(fma(v, splat(constants[1]), rounding), rounding)
    r = subtract(subtract(v, multiply(k, splat(constants[3]))), multiply(k, splat(constants[4])))
    p = splat(constants[5])
    for term in range(6, 5 + EXPONENT_TERMS):
        p = fma(p, r, splat(constants[term]))
    power = multiply(fma(p, r, one), power_of_two(k))
    zero = splat(constants.dtype.type(0))
    smallest = subtract(zero, splat(constants[5 + EXPONENT_TERMS]))
    return where_greater(smallest, z, zero, divide(one, add(one, power)))
