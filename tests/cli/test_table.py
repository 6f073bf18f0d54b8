import csv
import re

import pytest

from attentive_gconv.experiments import sweep
from tiny import RECIPE, PowerCut, tiny

__all__ = ["tiny"]

MODELS = "p4cnn,z2cnn"


def rows(folder):
    with (folder / "table.csv").open() as file:
        return [{**row} for row in csv.DictReader(file)]


def make(agconv, out, *more, seeds=2):
    flags = ["--recipe", RECIPE, "--models", MODELS, "--seeds", seeds, "--epochs", 2, "--out", out]
    return agconv("table", "tiny", *flags, *more)


def test_a_table_that_is_interrupted_is_continued(agconv, tiny, tmp_path):
    """Two networks, two seeds: broken off in the third of the four runs, and made complete by the same command."""
    whole = make(agconv, tmp_path / "whole")
    assert whole.exit_code == 0, whole.stderr
    assert re.search(r"\| `p4cnn` \| 1,146 \| 2 \| \d+\.\d\d ± \d+\.\d\d \|", whole.stdout)
    assert "protocol `validation`" in whole.stdout
    assert (tmp_path / "whole" / "table.md").read_text() in whole.stdout

    # 24 images an epoch and 2 epochs a run: the power fails in the second epoch of the third run
    tiny.fail_after(2 * 48 + 24 + 10)
    broken = make(agconv, tmp_path / "broken")
    assert isinstance(broken.exception, PowerCut)
    folders = [tmp_path / "broken" / "runs" / name for name in ("p4cnn-0", "p4cnn-1", "z2cnn-0", "z2cnn-1")]
    assert [(folder / "result.json").exists() for folder in folders] == [True, True, False, False]
    # what there is has been written already
    assert [(row["model"], row["seeds"]) for row in rows(tmp_path / "broken")] == [("p4cnn", "0 1")]

    tiny.fail_after(None)
    before = [(folder / "result.json").stat().st_mtime_ns for folder in folders[:2]]
    tiny.journal.clear()
    continued = make(agconv, tmp_path / "broken")
    assert continued.exit_code == 0, continued.stderr
    # one epoch of the third run and two of the fourth
    assert tiny.journal.count("train") == 3 * 24
    assert [(folder / "result.json").stat().st_mtime_ns for folder in folders[:2]] == before
    assert "after epoch 1 of 2" in continued.stdout
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")


def test_protocols_are_never_mixed(agconv, tiny, tmp_path):
    assert make(agconv, tmp_path, seeds=1).exit_code == 0
    before = (tmp_path / "table.csv").read_text()
    refused = make(agconv, tmp_path, "--protocol", "paper", seeds=1)
    assert refused.exit_code == 1
    assert "holds a run with protocol validation, not paper: give another --out" in refused.stderr
    assert (tmp_path / "table.csv").read_text() == before


def test_the_folder_is_named_after_dataset_and_protocol(agconv, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--recipe", RECIPE, "--models", "z2cnn", "--seeds", 1, "--epochs", 1, "--protocol", "paper"]
    result = agconv("table", "tiny", *flags, "--set", "optimizer.lr=0.02")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "runs" / "table-tiny-paper" / "table.png").is_file()
    assert "1 epochs, recipe tiny.yaml, with optimizer.lr=0.02" in result.stdout


def test_the_comparisons_are_those_asked_for(agconv, tiny, tmp_path):
    made = make(agconv, tmp_path, "--baseline", "z2cnn", "--pairs", "z2cnn:p4cnn, p4cnn:p4cnn", seeds=1)
    assert made.exit_code == 0, made.stderr
    assert "## Test error less that of `z2cnn`, seed by seed" in made.stdout
    assert re.findall(r"^\| (`\w+`, `\w+`) \| 0 \|", made.stdout, re.MULTILINE) == [
        "`z2cnn`, `p4cnn`",
        "`p4cnn`, `p4cnn`",
    ]


def test_where_it_runs_reaches_every_run(agconv, tiny, tmp_path, monkeypatch):
    asked = []

    def finish_all(jobs, console, *, at_once, report):
        asked.append(at_once)
        asked.extend((job.config.dataset.dir, job.config.dataset.folder, job.config.imports) for job in jobs)
        return []

    monkeypatch.setattr(sweep, "finish_all", finish_all)
    where = ("--jobs", 3, "--data-dir", tmp_path / "data", "--dataset-dir", tmp_path / "own", "--import", "json")
    made = make(agconv, tmp_path, *where, seeds=1)
    assert made.exit_code == 0, made.stderr
    assert asked == [3, *[(str(tmp_path / "data"), str(tmp_path / "own"), ("json",))] * 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tinny",), "the paper reports no networks on 'tinny': name them with --models"),
        (("rot-mnist", "--models", "p4cn"), "did you mean 'p4cnn'"),
        (("rot-mnist", "--set", "seed=3"), "--set seed=3: a table has its own, see --models and --seeds"),
        (("rot-mnist", "--set", "model.name=p4cnn"), "--set model.name"),
        (("rot-mnist", "--epochs", "0"), r"epochs \(=0\) must be at least 1"),
        (("rot-mnist", "--epochs", "1", "--set", "epochs=2"), "epochs is given twice"),
        (("rot-mnist", "--jobs", "2", "--set", "devices=2"), r"--jobs \(=2\) and devices \(=2\)"),
        (("pcam", "--protocol", "paper"), "has no meaning for pcam"),
        (("rot-mnist", "--models", "p4cnn,z2cnn", "--pairs", "p4cnn"), "--pairs 'p4cnn' must be two networks"),
        (("rot-mnist", "--models", "p4cnn,z2cnn", "--pairs", "p4cnn:z2cn"), "did you mean 'z2cnn'"),
        (("rot-mnist", "--models", "p4cnn,z2cnn", "--baseline", "z2cn"), "did you mean 'z2cnn'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(agconv, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = agconv("table", *arguments)
    assert result.exit_code == 1
    assert re.search(message, result.stderr)
    assert list(tmp_path.iterdir()) == []
