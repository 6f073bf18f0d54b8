import json

import pytest

from attentive_gconv.bench import BenchmarkError, Case, Comparison, Figure, Measurement, Protocol, jobs, measure
from attentive_gconv.bench.allocators import allocator_environment
from attentive_gconv.bench.jobs import run_worker
from attentive_gconv.bench.measured import select
from attentive_gconv.bench.timing import Quartiles

PLAIN, FULL = (Case(name, "group", batch=2, channels=2, side=7) for name in ("none", "full"))
QUICK = Protocol(repeats=3, warmup=1, min_seconds=0.0)


def scripted(monkeypatch, results):
    """Workers that give these results, in order."""
    results, seen = iter(results), []
    monkeypatch.setattr(
        jobs, "run_worker", lambda job, allocator, instructions: seen.append((job, allocator)) or next(results)
    )
    return seen


def timed(*seconds):
    return {"seconds": list(seconds), "calls": 1, "faults": [0.0] * len(seconds)}


def test_times_are_compared_within_rounds(monkeypatch):
    seen = scripted(monkeypatch, [{"samples": [timed(1.0, 2.0, 4.0), timed(3.0, 4.0, 20.0)]}])
    plain, full = measure([Comparison((PLAIN, FULL), True)], [Measurement("train", "tuned")], QUICK)
    assert (plain.ratio, plain.baseline) == (None, None)
    assert (full.ratio, full.baseline) == (Quartiles(2.5, 3.0, 4.0), "none")
    assert full.quartiles.median == 4.0
    job, allocator = seen[0]
    assert allocator == "tuned"
    assert [case["name"] for case in job["cases"]] == ["none", "full"]


def test_without_a_baseline_there_are_no_ratios(monkeypatch):
    scripted(monkeypatch, [{"samples": [timed(1.0), timed(3.0)]}])
    assert [figure.ratio for figure in measure([Comparison((PLAIN, FULL))], [Measurement("train")], QUICK)] == [
        None
    ] * 2


def test_memory_over_the_baseline_comes_out_directly(monkeypatch):
    peaks = [{"bytes": size, "method": "VmHWM"} for size in (100, 120, 110, 500, 400, 450)]
    seen = scripted(monkeypatch, peaks)
    protocol = Protocol(memory_repeats=3, steps=5)
    plain, full = measure([Comparison((PLAIN, FULL), True)], [Measurement("memory")], protocol)
    assert (plain.samples, plain.extra) == ([100, 120, 110], None)
    assert (full.samples, full.extra, full.unit) == ([500, 400, 450], 340, "B")
    assert [job["cases"][0]["name"] for job, _ in seen] == ["none"] * 3 + ["full"] * 3
    assert {job["steps"] for job, _ in seen} == {5}


def test_a_figure_survives_json(monkeypatch):
    scripted(monkeypatch, [{"samples": [timed(1.0, 2.0), {"error": "RuntimeError: no", "offered": True}]}])
    figures = measure([Comparison((PLAIN, FULL), True)], [Measurement("train")], QUICK)
    plain = json.loads(json.dumps([figure.to_mapping() for figure in figures]))
    assert [Figure.from_mapping(values) for values in plain] == figures
    assert plain[0]["quartiles"] == {"lower": 1.25, "median": 1.5, "upper": 1.75}
    assert (plain[1]["error"], plain[1]["quartiles"]) == ("RuntimeError: no", None)
    assert select(figures, what="train", name="full") == figures[1:]


def test_what_cannot_be_had_is_refused_before_anything_is_measured(in_process):
    for cases, measurement, message in [
        ((PLAIN, Case("p4cn")), Measurement("train"), "unknown model 'p4cn'"),
        ((PLAIN,), Measurement("trian"), "unknown measurement 'trian': did you mean 'train'"),
        ((PLAIN,), Measurement("train", "fast"), "unknown allocator 'fast'"),
    ]:
        with pytest.raises(ValueError, match=message):
            measure([Comparison(cases)], [Measurement("train"), measurement], QUICK)
    assert in_process == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"repeats": 0}, r"`repeats` \(=0\)"), ({"threads": 0}, "--threads 0"), ({"warmup": -1}, r"`warmup` \(=-1\)")],
)
def test_a_protocol_is_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Protocol(**options)


def test_a_case_that_fails_leaves_the_others_alone(in_process, peer):
    other = Case("full", "group", batch=2, channels=2, side=7, factory=f"{peer}:broken")
    plain, broken, full = measure([Comparison((PLAIN, other, FULL), True)], [Measurement("train")], QUICK)
    assert broken.error == "KeyError: 'no such option'"
    assert (broken.samples, broken.ratio) == ([], None)
    assert len(plain.samples) == len(full.samples) == 3
    assert full.ratio is not None
    (memory,) = measure([Comparison((other,))], [Measurement("memory")], QUICK)
    assert memory.error == broken.error


def test_real_figures_in_this_process(in_process):
    figures = measure(
        [Comparison((PLAIN, FULL), True)],
        [Measurement("train"), Measurement("inference"), Measurement("memory")],
        QUICK,
    )
    assert [(figure.what, figure.case.name) for figure in figures] == [
        (what, name) for what in ("train", "inference", "memory") for name in ("none", "full")
    ]
    assert all(len(figure.samples) == 3 and min(figure.samples) > 0 for figure in figures[:4])


def test_a_process_of_its_own_sees_a_known_tensor(peer):
    case = Case("p4cnn", batch=4, factory=f"{peer}:hog")
    # the allocator that returns what is freed: one that keeps it may need a second block in the second step, by chance
    (figure,) = measure([Comparison((case,))], [Measurement("memory")], Protocol(threads=1))
    assert figure.error is None
    assert 198e6 <= figure.samples[0] <= 260e6


def test_a_process_that_ends_without_a_result_is_an_error(peer):
    with pytest.raises(BenchmarkError, match="ended with status 1: ValueError: unknown task 'nap'"):
        run_worker({"task": "nap", "cases": [], "threads": None})
    case = Case("p4cnn", factory=f"{peer}:killed")
    (figure,) = measure([Comparison((case,))], [Measurement("train")], QUICK)
    assert figure.error == "killed by the system, probably for lack of memory: take a smaller batch"


def test_allocators(monkeypatch):
    tuned = allocator_environment("tuned")
    assert all(name.startswith("MALLOC_") for name in tuned)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(ValueError, match="apt install libjemalloc2"):
        allocator_environment("jemalloc")
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so.2")
    assert allocator_environment("jemalloc")["LD_PRELOAD"] == "libjemalloc.so.2"
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(ValueError, match="--allocator tuned is for Linux, not darwin"):
        allocator_environment("tuned")
