"""The figures of the two forms of a group convolution: the page shows them, the rule fits them."""

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("numba")
import conv_forms

ROOT = Path(__file__).parents[2]
REPORT = json.loads((ROOT / "benchmarks" / "results" / "conv-forms.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "explanation" / "irreps.md").read_text(encoding="utf-8")
MODES = {False: "inference", True: "training"}


def test_the_page_shows_the_figures():
    assert conv_forms.table(REPORT["rows"]) in PAGE


def test_they_come_from_a_committed_library_and_name_no_folder():
    assert not REPORT["environment"]["git_revision"].endswith("-dirty")
    assert not [part for part in REPORT["environment"]["command"] if part.startswith("/")]


def test_every_layer_was_measured():
    names = list(conv_forms.cases()[0])
    assert [{name: row[name] for name in names} for row in REPORT["rows"]] == conv_forms.cases()


@pytest.mark.parametrize("training", MODES)
def test_the_rule_takes_what_is_faster(training):
    """Nearly nothing that it takes was slower by more than 3 % in three quarters of the rounds."""
    taken = [
        row[MODES[training]]["ratio"]
        for row in REPORT["rows"]
        if conv_forms.form_rule.irreps_are_faster(conv_forms.size_of(row, training))
    ]
    assert len(taken) > len(REPORT["rows"]) / 3
    assert sum(ratio["lower"] > 1.03 for ratio in taken) <= 0.01 * len(taken)


def test_a_layer_is_measured():
    case = {"group": "p4", "inputs": 2, "outputs": 2, "side": 5, "kernel_size": 3, "batch": 1}
    row = conv_forms.measure(case, 3, time.perf_counter)
    assert {name: row[name] for name in case} == case
    for mode in MODES.values():
        assert row[mode]["ratio"]["lower"] <= row[mode]["ratio"]["median"] <= row[mode]["ratio"]["upper"]
