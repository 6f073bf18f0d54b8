import json
import math
from dataclasses import replace

import pytest

from attentive_gconv.benchmark import Case, Comparison, Measurement, Protocol
from attentive_gconv.benchmark.figures import Figure
from attentive_gconv.benchmark.growth import AXES
from attentive_gconv.benchmark.page import blocks, fill, losses, read_folder, write_page
from attentive_gconv.benchmark.paper import SUITES, Entry, entries
from attentive_gconv.benchmark.suite import figures_of, read_entry, run_entry
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


@pytest.mark.parametrize("axis", ["batch", "pixels"])
def test_growth_is_measured_over_a_factor_of_eight(axis):
    sizes = [
        AXES[axis](Figure(case, "train"))
        for entry in entries().values()
        if entry.axis == axis
        for comparison in entry.comparisons
        for case in comparison.cases
    ]
    assert max(sizes) / min(sizes) >= 8


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


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is no document of `agconv bench`"), ('{"schema": 0}', "is of schema 0"), ("[]", "is no document")],
)
def test_broken_documents_are_refused(tmp_path, content, message):
    path = tmp_path / "layers.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_entry(path)


def test_the_page_is_filled_between_its_marks_and_nowhere_else(measured):
    folder, _ = measured
    page = folder.parent / f"{folder.name}.md"
    page.write_text(
        "Before\n<!-- figures: growth-batch -->\nold\n<!-- end of figures -->\nbetween\n"
        "<!-- figures: layers-p4 -->\nkept\n<!-- end of figures -->\nafter\n"
    )
    written = {path.name for path in write_page(folder, page)}
    assert written == {"growth-batch.png", "tables.md", page.name}
    text = page.read_text()
    assert text.startswith("Before\n<!-- figures: growth-batch -->\n\n| layer | batch | step")
    assert text.endswith("\nbetween\n<!-- figures: layers-p4 -->\nkept\n<!-- end of figures -->\nafter\n")
    assert "old" not in text
    assert f"({folder.name}/growth-batch.png)" in text
    assert "full: time grows with exponent" in text
    write_page(folder, page)
    assert page.read_text() == text


def test_a_place_named_after_no_entry_is_an_error():
    with pytest.raises(ValueError, match="unknown figures 'growth-bach': did you mean 'growth-batch'"):
        fill("<!-- figures: growth-bach -->\n<!-- end of figures -->", {})


def test_a_page_that_could_not_link_to_the_files_is_refused(measured, tmp_path_factory):
    folder, _ = measured
    page = tmp_path_factory.mktemp("elsewhere") / "page.md"
    page.write_text("")
    with pytest.raises(ValueError, match="must be inside the folder of --page"):
        write_page(folder, page)


def test_losses_are_those_against_other_ways_of_computing_the_same(measured):
    folder, _ = measured
    document = read_folder(folder)["growth-batch"]
    assert losses({"growth-batch": document}) == "None in these measurements.\n"
    document["plan"]["rival"] = True
    for figure, ratio in zip(document["figures"], (None, 1.5, None, None, None, 0.5, None, None), strict=True):
        figure["ratio"] = ratio and {"lower": ratio, "median": ratio, "upper": ratio}
        figure["extra"] = None
    document["figures"][7]["extra"] = 3e6
    assert losses({"growth-batch": document}).splitlines() == [
        "- group layer, full at batch 2, 7 x 7, group p4: train takes 1.50 times as long as none",
        "- group layer, full at batch 4, 7 x 7, group p4: 3 MB more than none",
    ]
    assert "measured from" in blocks({"growth-batch": document})["machine"]
