"""Random kills and flipped bits: the counting works."""

import os
import random

import pytest

import robustness
from attentive_gconv.checkpoints.run_files import read_json, write_record


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
