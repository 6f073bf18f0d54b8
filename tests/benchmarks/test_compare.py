"""The script that sets another implementation beside ours, with the plain definition as the other one."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from in_process import in_process, peer

__all__ = ["in_process", "peer"]

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "compare.py"
TINY = ("--channels", "2", "--image-sizes", "7", "--batch-sizes", "2", "--repeats", "2")


@pytest.fixture
def compare(in_process, monkeypatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec.loader.exec_module(module)
    return module


def test_the_definition_beside_the_streaming_form(compare, peer, tmp_path, capsys):
    compare.main(["--module", f"{peer}:definition", "--layers", "full", *TINY, "--out", str(tmp_path / "out")])
    document = json.loads((tmp_path / "out" / "compare.json").read_text())
    (check,) = document["checks"]
    assert check["shapes"] == [[2, 2, 4, 5, 5]] * 2
    assert check["difference"] < 1e-5
    figures = document["figures"]
    assert [(figure["what"], figure["case"]["factory"]) for figure in figures] == [
        (what, factory) for what in ("train", "inference", "memory") for factory in (None, f"{peer}:definition")
    ]
    assert all(figures[index]["ratio"] for index in (1, 3))
    assert figures[5]["extra"] is not None
    printed = capsys.readouterr().out
    assert "same weights, outputs differ by" in printed
    assert f"| full ({peer}) |" in printed
    assert (tmp_path / "out" / "compare.md").read_text() in printed


def test_what_the_other_one_lacks_is_left_out_and_said(compare, peer, capsys):
    compare.main(["--module", f"{peer}:definition", "--models", "p4cnn", "--what", "inference"])
    printed = capsys.readouterr().out
    assert "p4cnn: left out" in printed
    assert "|" not in printed


def test_our_own_ways_of_computing_are_not_theirs(compare, peer):
    sweep = compare.Sweep(["full"], "group", batches=[2], methods=["streaming"], recompute=[True])
    ((ours, theirs),) = [
        pair.cases for pair in compare.side_by_side(sweep, compare.Case("p4cnn"), f"{peer}:definition")
    ]
    assert (ours.method, ours.recompute, theirs.method, theirs.recompute) == ("streaming", True, None, None)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("wrong_shape", r"the output has shape \(2, 3\), ours \(2, 10\); they cannot be compared"),
        ("broken", "KeyError: 'no such option'"),
        ("missing", "has no callable 'missing'"),
    ],
)
def test_what_cannot_be_compared_is_not_measured(compare, in_process, peer, factory, message):
    with pytest.raises(ValueError, match=message):
        compare.main(["--module", f"{peer}:{factory}", "--models", "p4cnn", "--batch-sizes", "2"])
    assert [job["task"] for job, _ in in_process] == ["compare"] * (factory != "missing")
