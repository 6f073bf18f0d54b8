import json
import sys
from pathlib import Path

import pytest

import compare_revisions
from attentive_gconv.bench.cases import Case
from page_block import filled

ROOT = Path(compare_revisions.__file__).resolve().parents[1]
WORK = [
    compare_revisions.Work("networks-16", "train", Case("p4cnn", batch=2)),
    compare_revisions.Work("groups", "inference", Case("none", "group", batch=3, side=8)),
    compare_revisions.Work("groups", "memory", Case("none", "group", batch=3, side=8)),
]


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["compare_revisions", *map(str, options)])
    compare_revisions.main()


def test_the_page_shows_what_the_file_holds():
    report = json.loads((ROOT / "benchmarks" / "results" / "revisions.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert filled(page, "revisions", compare_revisions.table(report)) == page


@pytest.mark.parametrize("instructions", ["native", "avx2"])
def test_the_page_shows_the_figures_of_both_instruction_sets(instructions):
    path = ROOT / "benchmarks" / "results" / f"revisions-{instructions}.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["instructions"] == instructions
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert filled(page, f"revisions-{instructions}", compare_revisions.yardstick(report)) == page


@pytest.mark.slow
def test_a_revision_beside_itself(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(compare_revisions, "revision_of", lambda checkout: "abc")
    out = tmp_path / "revisions.json"
    monkeypatch.setattr(compare_revisions, "work_of", lambda suite: WORK)
    run(monkeypatch, "--before", ROOT, "--networks", "p4cnn", "--rounds", 3, "--threads", 1, "--out", out)
    report = json.loads(out.read_text())
    assert report["before"] == "abc"
    assert report["differences"] == {"p4cnn": 0.0}
    assert [(row["entry"], row["what"], row["case"]["batch"]) for row in report["rows"]] == [
        ("networks-16", "train", 2),
        ("groups", "inference", 3),
        ("groups", "memory", 3),
    ]
    for row in report["rows"]:
        assert row["before"]["lower"] > 0
        assert row["ratio"]["lower"] <= row["ratio"]["median"] <= row["ratio"]["upper"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "p4cnn weights after 20 steps: 0.0e+00"
    assert lines[1].startswith("networks-16 train `p4cnn`, batch 2 ")
    assert lines[2].startswith("groups inference group layer, none, batch 3, side 8 ")


def test_the_suite_of_this_library_alone_times_first():
    work = compare_revisions.work_of(["layers-p4", "networks-16", "groups"])
    assert len(set(work)) == len(work)
    assert {found.case.name for found in work if found.entry == "layers-p4"} == {"none"}
    assert all(found.case.conv is None for found in work)
    whats = [found.what for found in work]
    assert whats.index("memory") > max(index for index, what in enumerate(whats) if what != "memory")
    assert {found.case.label() for found in work if found.entry == "networks-16"} >= {
        "p4cnn",
        "alpha_p4cnn (recompute)",
    }


def test_work_that_fails_is_told(capfd):
    revision = compare_revisions.Revision(ROOT / "src", 1)
    with pytest.raises(RuntimeError, match=r"'name': 'p4cn'.* failed with status 1"):
        revision.time(compare_revisions.Work("networks-16", "train", Case("p4cn")))
    assert "unknown model 'p4cn'" in capfd.readouterr().err


def test_an_unknown_entry_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, "--before", ROOT, "--without", "networks-17")
    assert "--without networks-17: choose from networks-16" in capsys.readouterr().err


def test_a_folder_that_holds_no_checkout_is_refused(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, "--before", tmp_path)
    assert "no checkout of this library" in capsys.readouterr().err
