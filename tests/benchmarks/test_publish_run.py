"""Runs in the repository: the small files, without the machine's folders."""

import json
import re
from pathlib import Path

import pytest

from attentive_gconv.checkpoints.run_files import RunFiles, RunFolderError
from attentive_gconv.training import train
from attentive_gconv.yaml_settings import read_settings
from provenance import without_folders
from publish_run import main, publish, require_same_settings
from tiny import tiny, tiny_config  # noqa: F401

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def test_the_small_files_of_a_finished_run_are_copied_without_folders(tiny, tmp_path, capsys):  # noqa: F811
    run = tmp_path / "runs" / "p4cnn-0"
    train(tiny_config(epochs=1, protocol="final", dataset__dir=str(tmp_path)), run)
    assert main([str(run), "--to", str(tmp_path / "results")]) == 0
    target = tmp_path / "results" / "p4cnn-0"
    names = {path.name for path in target.iterdir()}
    assert names >= {"config.yaml", "dataset.json", "environment.json", "metrics.csv", "result.json"}
    assert not names & {"checkpoints", "tensorboard"}
    for name in ("metrics.csv", "result.json"):
        assert (target / name).read_bytes() == (run / name).read_bytes()
    settings = read_settings(target / "config.yaml")
    assert settings["dataset"]["dir"] is None
    assert settings["protocol"] == "final"
    assert str(tmp_path) not in (target / "config.yaml").read_text() + (target / "environment.json").read_text()


def test_commands_keep_no_folder():
    command = ["/usr/bin/agconv", "train", "x", "--data-dir", "/data", "--out=/a/b", "--out", "/runs/a"]
    assert without_folders(command) == ["agconv", "train", "x", "--data-dir", "DIR", "--out=b", "--out", "a"]


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="is not finished"):
        publish(RunFiles(tmp_path), tmp_path / "to")
    assert main([str(tmp_path), "--to", str(tmp_path / "to")]) == 1
    assert not (tmp_path / "to").exists()


def test_a_setting_may_differ_between_networks_but_not_between_seeds(tmp_path):
    def run(network, seed, epochs):
        folder = tmp_path / f"{network}-{seed}"
        folder.mkdir()
        (folder / "config.yaml").write_text(f"epochs: {epochs}\nseed: {seed}\nmodel:\n  name: {network}\n")
        return folder

    runs = [run("p4cnn", 0, 120), run("p4cnn", 1, 120), run("alpha_p4cnn", 0, 90)]
    require_same_settings(runs, by_network=("epochs",))
    with pytest.raises(ValueError, match="epochs is 90 in alpha_p4cnn-0 and 120 in p4cnn-0: they do not belong"):
        require_same_settings(runs)
    with pytest.raises(ValueError, match="epochs is 120 in alpha_p4cnn-1 and 90 in alpha_p4cnn-0"):
        require_same_settings([*runs, run("alpha_p4cnn", 1, 120)], by_network=("epochs",))


# trials that the end of the machine's time stopped: copied by hand, without a result
STOPPED = set((RESULTS / "elpv-trials").glob("p4m-96-long*"))


@pytest.mark.parametrize("path", sorted(RESULTS.rglob("environment.json")), ids=lambda path: path.parent.name)
def test_published_runs_name_no_folder_of_a_machine(path):
    text = "".join(file.read_text() for file in path.parent.iterdir() if file.suffix in (".json", ".yaml", ".csv"))
    assert not re.search(r"[\s\"'=]/(home|root|work|tmp|mnt|Users)\b", text)
    if path.parent not in STOPPED:
        assert json.loads((path.parent / "result.json").read_text())["test_images"] > 0
