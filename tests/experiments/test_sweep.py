import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from attentive_gconv.experiments import sweep
from attentive_gconv.experiments.sweep import Job, finish, finish_all, finished
from attentive_gconv.training import RunFolder, RunFolderError
from tiny import PowerCut, tiny_config

QUIET = Console(quiet=True)


def job(tmp_path, name="run", **settings) -> Job:
    return Job(name, tiny_config(epochs=2, **settings), RunFolder(tmp_path / name))


def test_missing_runs_are_trained_and_finished_ones_taken(tiny, tmp_path):
    wanted = job(tmp_path)
    assert finished(wanted) is None
    result = finish(wanted, QUIET)
    assert result["epochs"] == 2
    tiny.journal.clear()
    assert finish(wanted, QUIET) == finished(wanted) == result
    assert tiny.journal == []


@pytest.mark.parametrize("reads", [5, 30])
def test_broken_runs_are_continued(tiny, tmp_path, reads):
    whole = finish(job(tmp_path, "whole"), QUIET)
    tiny.fail_after(reads)
    with pytest.raises(PowerCut):
        finish(job(tmp_path, "broken"), QUIET)
    tiny.fail_after(None)
    result = finish(job(tmp_path, "broken"), QUIET)
    assert {**result, "seconds_per_epoch": 0} == {**whole, "seconds_per_epoch": 0}


def test_a_run_that_ended_before_all_its_files_were_written_is_begun_again(tiny, tmp_path):
    wanted = job(tmp_path)
    wanted.folder.path.mkdir()
    wanted.folder.write_config(replace(wanted.config, dataset=replace(wanted.config.dataset, source="made")))
    assert finish(wanted, QUIET)["epochs"] == 2
    assert json.loads(wanted.folder.dataset_file.read_text())["name"] == "tiny"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "paper"}, "protocol validation, not paper: give another --out"),
        ({"optimizer__lr": 0.5}, "optimizer.lr 0.01, not 0.5"),
        ({"seed": 4}, "seed 0, not 4"),
        ({"model__channels": 3}, "model.channels 2, not 3"),
        ({"dataset__seed": 3}, "dataset.seed 0, not 3"),
    ],
)
def test_another_run_in_the_folder_is_refused_before_any_is_trained(tiny, tmp_path, settings, message):
    finish(job(tmp_path, "b"), QUIET)
    tiny.journal.clear()
    wanted = [job(tmp_path, "a", **settings), job(tmp_path, "b", **settings)]
    with pytest.raises(RunFolderError, match=re.escape(message)):
        finish_all(wanted, QUIET, at_once=1, report=lambda *_: None)
    assert tiny.journal == []
    assert not (tmp_path / "a").exists()


def test_where_it_runs_makes_no_other_run(tiny, tmp_path):
    result = finish(job(tmp_path), QUIET)
    assert finished(job(tmp_path, workers=2, dataset__dir=str(tmp_path), accelerator="auto")) == result
    assert finished(job(tmp_path, imports=("json",))) == result


def test_a_failed_run_does_not_keep_the_others_from_being_finished(tiny, tmp_path):
    wanted = [job(tmp_path, "bad", optimizer={"name": "sgd", "lr": 1e30}), job(tmp_path, "good")]
    reported = []
    failures = finish_all(wanted, QUIET, at_once=1, report=lambda job, result: reported.append(job.label))
    assert reported == ["good"]
    assert [failed.label for failed, _ in failures] == ["bad"]
    assert "take a smaller learning rate" in failures[0][1]


def test_a_process_that_ends_without_a_result_has_failed(tmp_path, monkeypatch):
    """As SIGTERM made one end, with status 0."""
    script = [sys.executable, "-c", "pass"]
    monkeypatch.setattr(sweep, "_start", lambda *_: subprocess.Popen(script))
    failures = finish_all([job(tmp_path)], QUIET, at_once=2, report=lambda *_: None)
    assert "status 0" in failures[0][1]


@pytest.mark.slow
def test_several_at_once_have_a_process_each_and_failures_are_told(tmp_path, monkeypatch, capsys):
    """The dataset is scikit-learn's, which other processes know as well; one of the networks does not exist."""
    settings = {"dataset__name": "digits", "batch_size": 400}
    good = Job("good", tiny_config(epochs=1, **settings), RunFolder(tmp_path / "runs" / "good"))
    bad = Job("bad", tiny_config(epochs=1, model__name="p5cnn", **settings), RunFolder(tmp_path / "runs" / "bad"))
    reported = []
    failures = finish_all(
        [bad, good], Console(width=200), at_once=2, report=lambda job, result: reported.append((job, result["epochs"]))
    )
    assert reported == [(good, 1)]
    assert [job for job, _ in failures] == [bad]
    assert "unknown model 'p5cnn'" in (tmp_path / "runs" / "bad.log").read_text()
    assert "epoch 1/1" in (tmp_path / "runs" / "good.log").read_text()
    printed = capsys.readouterr().out
    assert "finished: good" in printed
    assert "failed: bad" in printed


def test_a_result_of_another_kind_is_refused_before_anything_is_trained(tiny, tmp_path):
    """A missing field ended in a KeyError when the table was written."""
    finish(job(tmp_path), QUIET)
    path = tmp_path / "run" / "result.json"
    path.write_text('{"test_error": 0.5}')
    with pytest.raises(RunFolderError, match=r"result\.json is not a result of this version: it has no dataset"):
        finish_all([job(tmp_path)], QUIET, at_once=1, report=lambda *_: None)


def test_a_damaged_result_of_a_process_does_not_stop_the_others(tmp_path, monkeypatch):
    def start(job: Job, *_: object) -> subprocess.Popen:
        job.folder.path.mkdir(parents=True)
        if job.label == "bad":
            job.folder.write_config(job.config)
            job.folder.result_file.write_text("{")
        return subprocess.Popen([sys.executable, "-c", "pass"])

    monkeypatch.setattr(sweep, "_start", start)
    wanted = [job(tmp_path, "bad"), job(tmp_path, "other")]
    failures = finish_all(wanted, QUIET, at_once=2, report=lambda *_: None)
    assert {failed.label for failed, _ in failures} == {"bad", "other"}
    assert "result.json is broken" in {failed.label: reason for failed, reason in failures}["bad"]
