"""Random kills and flipped bits: the counting works."""

import json
import os
import random
from pathlib import Path

import pytest

import robustness
from attentive_gconv.checkpoints.run_files import read_json, write_record
from page_block import filled

ROOT = Path(__file__).parents[2]


def figures(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def test_no_kill_changed_a_run_and_no_flipped_bit_a_result():
    killed = figures("kills")
    assert len(killed["of"]) == 50
    assert all(row["equal"] for row in killed["of"])
    flipped = figures("flips")
    assert flipped["flips"] == 500
    assert len(flipped["kinds"]) == 10
    for row in flipped["kinds"].values():
        assert (row["wrong"], row["refused"] + row["harmless"]) == (0, 500)


@pytest.mark.parametrize(("name", "table"), [("kills", robustness.kills_table), ("flips", robustness.flips_table)])
def test_the_page_shows_what_the_file_holds(name, table):
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert filled(page, name, table(figures(name))) == page


def test_what_is_read_otherwise_is_counted_as_wrong(tmp_path):
    path = tmp_path / "plain.txt"
    path.write_text("no checksum")
    assert robustness.flip(path, lambda p: p.read_bytes(), 20, 0)["wrong"] == 20
    write_record(tmp_path / "record.json", {"error": 0.5})
    found = robustness.flip(tmp_path / "record.json", read_json, 50, 0)
    assert (found["wrong"], found["refused"] + found["harmless"]) == (0, 50)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which Windows does not have")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_killed_child_is_noticed(tmp_path):
    assert robustness.in_child(lambda: (tmp_path / "done").write_text("x"), None)
    assert (tmp_path / "done").exists()
    assert not robustness.in_child(lambda: [random.random() for _ in iter(int, 1)], 0.2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which Windows does not have")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_an_error_of_a_child_is_no_kill():
    with pytest.raises(RuntimeError, match="ended with status 1 rather than by itself or by SIGKILL"):
        robustness.in_child(lambda: 1 / 0, None)
