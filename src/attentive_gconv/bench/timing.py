"""Timing: interleaved rounds after a warm-up, synchronised, summarised by median and quartiles.

A round takes one sample of every candidate; each round starts with another one. Drift (clock, temperature, other
processes) affects all candidates alike, and ratios are formed within a round. A sample is the mean of as many calls as
take `min_seconds`, a number determined in the warm-up.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from attentive_gconv.bench.memory import page_faults

MIN_SECONDS = 0.05
MAX_CALLS = 1000


class Quartiles(NamedTuple):
    """First quartile, median, third quartile."""

    lower: float
    median: float
    upper: float


def quartiles(samples: Sequence[float]) -> Quartiles:
    """Quartiles of at least one number.

    Example:
        >>> quartiles([4.0, 1.0, 2.0, 3.0, 10.0])
        Quartiles(lower=2.0, median=3.0, upper=4.0)
    """
    if not samples:
        raise ValueError("quartiles of no samples")
    if len(samples) == 1:
        return Quartiles(*[samples[0]] * 3)
    return Quartiles(*statistics.quantiles(samples, n=4, method="inclusive"))


def ratios(samples: Sequence[float], baseline: Sequence[float]) -> Quartiles:
    """Quartiles of the ratios of two series, formed round by round.

    Example:
        >>> ratios([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
        Quartiles(lower=2.0, median=2.0, upper=2.5)
    """
    return quartiles([sample / base for sample, base in zip(samples, baseline, strict=True)])


def order_of_round(candidates: int, index: int) -> list[int]:
    """Order of the candidates in a round: round-robin, each round starting one further.

    Example:
        >>> [order_of_round(3, index) for index in range(4)]
        [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]
    """
    return [(index + offset) % candidates for offset in range(candidates)]


@dataclass
class Samples:
    """Samples of one candidate: seconds of a call in each round, calls in a sample, page faults of a call."""

    seconds: list[float]
    calls: int
    faults: list[float]


def time_interleaved(
    candidates: Sequence[Callable[[], None]],
    *,
    repeats: int,
    warmup: int,
    synchronise: Callable[[], None] = lambda: None,
    min_seconds: float = MIN_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Samples]:
    """Time several functions in the same rounds.

    Args:
        candidates: functions without arguments.
        repeats: number of rounds.
        warmup: untimed calls of each candidate; at least one, whose duration determines the calls in a sample.
        synchronise: waits until the device is idle.
        min_seconds: minimum duration of a sample.
        clock: returns seconds.
    """

    def run(candidate: Callable[[], None], calls: int) -> tuple[float, float]:
        synchronise()
        faults, start = page_faults(), clock()
        for _ in range(calls):
            candidate()
        synchronise()
        return (clock() - start) / calls, (page_faults() - faults) / calls

    found = []
    for candidate in candidates:
        for _ in range(max(0, warmup - 1)):
            run(candidate, 1)
        seconds, _ = run(candidate, 1)
        calls = MAX_CALLS if seconds <= 0 else min(MAX_CALLS, max(1, math.ceil(min_seconds / seconds)))
        found.append(Samples([], calls, []))
    for index in range(repeats):
        for chosen in order_of_round(len(candidates), index):
            seconds, faults = run(candidates[chosen], found[chosen].calls)
            found[chosen].seconds.append(seconds)
            found[chosen].faults.append(faults)
    return found
