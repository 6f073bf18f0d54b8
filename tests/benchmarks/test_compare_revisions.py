import json
import sys
from pathlib import Path

import pytest

import compare_revisions
from page_block import filled

ROOT = Path(compare_revisions.__file__).resolve().parents[1]


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["compare_revisions", *map(str, options)])
    compare_revisions.main()


def test_the_page_shows_what_the_file_holds():
    report = json.loads((ROOT / "benchmarks" / "results" / "revisions.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert filled(page, "revisions", compare_revisions.table(report)) == page


@pytest.mark.slow
def test_a_revision_beside_itself(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(compare_revisions, "revision_of", lambda checkout: "abc")
    out = tmp_path / "revisions.json"
    options = ("--networks", "p4cnn", "--train-batches", 1, "--inference-batches", 2, "--rounds", 3, "--threads", 1)
    run(monkeypatch, "--before", ROOT, *options, "--out", out)
    report = json.loads(out.read_text())
    assert report["before"] == "abc"
    assert report["differences"] == {"p4cnn": 0.0}
    assert [(row["batch"], row["train"]) for row in report["rows"]] == [(1, True), (2, False)]
    for row in report["rows"]:
        assert row["before"]["lower"] > 0
        assert row["ratio"]["lower"] <= row["ratio"]["median"] <= row["ratio"]["upper"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "p4cnn weights after 20 steps: 0.0e+00"
    assert lines[1].startswith("p4cnn 1 step ")


def test_work_that_fails_is_told(capfd):
    revision = compare_revisions.Revision(ROOT / "src", 1)
    with pytest.raises(RuntimeError, match=r"'model': 'p4cn'.* failed with status 1"):
        revision.time(compare_revisions.Work("p4cn", 1, False))
    assert "unknown model 'p4cn'" in capfd.readouterr().err


def test_a_folder_that_holds_no_checkout_is_refused(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, "--before", tmp_path)
    assert "no checkout of this library" in capsys.readouterr().err
