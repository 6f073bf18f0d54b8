import itertools

import pytest

from attentive_gconv.bench.timing import Quartiles, order_of_round, quartiles, ratios, time_interleaved


class Clock:
    """Stands still but for what candidates add; `log` is who ran."""

    def __init__(self) -> None:
        self.now, self.log, self.synchronised = 0.0, [], 0

    def __call__(self) -> float:
        return self.now

    def candidate(self, name: str, durations):
        durations = itertools.chain(durations, itertools.repeat(durations[-1]))

        def run() -> None:
            self.log.append(name)
            self.now += next(durations)

        return run

    def synchronise(self) -> None:
        self.synchronised += 1


def test_quartiles_and_ratios():
    assert quartiles([3.0]) == Quartiles(3.0, 3.0, 3.0)
    assert quartiles([1.0, 2.0]) == Quartiles(1.25, 1.5, 1.75)
    # by round: 2, 3, 1; the ratio of the medians would be 6 / 3
    assert ratios([2.0, 9.0, 6.0], [1.0, 3.0, 6.0]) == Quartiles(1.5, 2.0, 2.5)
    with pytest.raises(ValueError, match="no samples"):
        quartiles([])


def test_rounds_are_interleaved_and_each_starts_one_further():
    clock = Clock()
    names = ("a", "b", "c")
    samples = time_interleaved(
        [clock.candidate(name, [1.0]) for name in names], repeats=4, warmup=1, clock=clock, min_seconds=0.5
    )
    warm, rounds = clock.log[:3], clock.log[3:]
    assert warm == ["a", "b", "c"]
    assert rounds == ["a", "b", "c", "b", "c", "a", "c", "a", "b", "a", "b", "c"]
    assert [found.seconds for found in samples] == [[1.0] * 4] * 3
    assert all(sorted(order_of_round(5, index)) == list(range(5)) for index in range(7))


def test_a_sample_is_the_mean_of_enough_calls():
    clock = Clock()
    quick = clock.candidate("quick", [9.0, 0.125, 0.125, 0.25, 0.375, 0.25])
    slow = clock.candidate("slow", [2.0])
    found = time_interleaved(
        [quick, slow], repeats=1, warmup=2, clock=clock, min_seconds=0.5, synchronise=clock.synchronise
    )
    # the second call of the warm-up, 0.125 s, says that four make a sample
    assert (found[0].calls, found[1].calls) == (4, 1)
    assert found[0].seconds == [(0.125 + 0.25 + 0.375 + 0.25) / 4]
    assert found[1].seconds == [2.0]
    assert len(found[0].faults) == 1
    # before and after each of four warm-ups and two samples
    assert clock.synchronised == 12


def test_nothing_of_the_warm_up_is_in_the_samples():
    clock = Clock()
    (found,) = time_interleaved([clock.candidate("a", [50.0, 40.0, 1.0])], repeats=3, warmup=2, clock=clock)
    assert found.seconds == [1.0, 1.0, 1.0]
