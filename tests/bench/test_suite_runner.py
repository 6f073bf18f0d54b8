import json
import math
from dataclasses import replace

import pytest

from attentive_gconv.bench import Case, Comparison, Measurement, Protocol
from attentive_gconv.bench.suite_runner import figures_of, read_entry, run_entry
from attentive_gconv.bench.suites import SCHEMA, SUITES, Entry, entries
from attentive_gconv.environment import describe_environment

QUICK = Protocol(repeats=2, warmup=1, min_seconds=0.0)
CASES = tuple(Case(name, "group", batch=batch, channels=2, side=7) for batch in (2, 4) for name in ("none", "full"))
ENTRY = Entry(
    "growth-batch",
    "Growth with the batch",
    (Comparison(CASES[:2], True), Comparison(CASES[2:], True)),
    (Measurement("train"), Measurement("memory")),
    QUICK,
    axis="batch",
)


@pytest.fixture
def measured(in_process, tmp_path):
    """A folder with one measured entry, and the jobs so far."""
    run_entry(ENTRY, tmp_path, describe_environment())
    return tmp_path, in_process


def test_every_entry_can_be_measured():
    found = entries()
    assert sorted(name for suite in SUITES.values() for name in suite) == sorted(found)
    for entry in found.values():
        for comparison in entry.comparisons:
            assert len({case.batch for case in comparison.cases}) == 1
            assert len(set(comparison.cases)) == len(comparison.cases) > 1
            assert comparison.has_baseline
            for case in comparison.cases:
                case.check()


def test_on_a_gpu_the_allocator_of_the_c_library_is_left_out():
    found = entries("cuda", "bfloat16")["networks-16"]
    assert [measurement.what for measurement in found.measurements] == ["train", "memory"]
    assert {(case.device, case.dtype) for comparison in found.comparisons for case in comparison.cases} == {
        ("cuda", "bfloat16")
    }


def test_a_document_says_what_where_and_how(measured):
    folder, _ = measured
    document = json.loads((folder / "growth-batch.json").read_text())
    assert document.keys() == {"schema", "plan", "environment", "seconds", "figures"}
    assert document["environment"].keys() >= {"processor", "cores", "packages", "git_revision", "command", "threads"}
    assert document["plan"]["protocol"]["repeats"] == 2
    assert len(document["figures"]) == 8
    assert document["figures"][0].keys() >= {
        "case",
        "label",
        "what",
        "allocator",
        "unit",
        "samples",
        "quartiles",
        "ratio",
    }
    assert all(math.isfinite(value) for figure in document["figures"] for value in figure["samples"])
    assert figures_of(read_entry(folder / "growth-batch.json"))[1].case == CASES[1]


def test_finished_entries_are_kept_unless_they_are_to_be_fresh_or_their_plan_has_changed(measured):
    folder, jobs = measured
    done, said = len(jobs), []
    about = describe_environment()
    run_entry(ENTRY, folder, about, report=said.append)
    assert len(jobs) == done
    assert "kept, measured" in said[0]
    run_entry(ENTRY, folder, about, fresh=True)
    assert len(jobs) == 2 * done
    run_entry(replace(ENTRY, protocol=replace(QUICK, repeats=3)), folder, about, report=said.append)
    assert len(jobs) == 3 * done
    assert "growth-batch: its plan has changed, measured again" in said


def test_an_entry_with_a_failure_is_not_kept_as_finished(in_process, tmp_path, peer):
    failing = replace(ENTRY, comparisons=(Comparison((Case("p4cnn", factory=f"{peer}:broken"),)),), axis=None)
    document = run_entry(failing, tmp_path, describe_environment())
    assert document["figures"][0]["error"] == "KeyError: 'no such option'"
    assert [path.name for path in tmp_path.glob("growth*")] == ["growth-batch.failed.json"]


NO_PLAN = f'{{"schema": {SCHEMA}, "figures": []}}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no document of `agconv bench`"),
        ('{"schema": 0}', "is of schema 0"),
        ("[]", "is no document"),
        (NO_PLAN, "is no document"),
    ],
)
def test_broken_documents_are_refused(tmp_path, content, message):
    path = tmp_path / "layers.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_entry(path)
