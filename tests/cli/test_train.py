import json
import re

import pytest
import yaml

from attentive_gconv.training import RunFolder
from noise_images import write_images
from tiny import RECIPE, tiny_config


def test_a_run_says_where_it_is_and_what_comes_next(agconv, run):
    folder = RunFolder(run)
    result = json.loads(folder.result_file.read_text())
    printed = agconv("train", "--recipe", RECIPE, "--epochs", 2, "--out", run.with_name("again")).stdout
    assert f"run folder         {run.with_name('again')}" in printed
    assert f"test error         {100 * result['test_error']:.2f} %  (18 images, tested once)" in printed
    assert re.search(r"best epoch         \d of 2, with \d+\.\d\d % error on the validation set", printed)
    assert re.search(r"seconds per epoch  \d+\.\d", printed)
    assert f"agconv evaluate {run.with_name('again')}" in printed


def test_the_paper_protocol_labels_its_selection(agconv, tiny, tmp_path):
    printed = agconv("train", "--recipe", RECIPE, "--epochs", 1, "--protocol", "paper", "--out", tmp_path / "p").stdout
    assert "at the last epoch, 1" in printed
    assert "at epoch 1, selected on the test set, as the authors did" in printed


def test_every_flag_reaches_the_settings(agconv, tiny, tmp_path):
    flags = {
        "--model": "z2cnn",
        "--epochs": 1,
        "--batch-size": 12,
        "--lr": 0.02,
        "--weight-decay": 0.5,
        "--seed": 7,
        "--protocol": "paper",
        "--precision": "bf16-mixed",
        "--data-dir": tmp_path,
        "--accelerator": "cpu",
        "--devices": 1,
        "--workers": 0,
        "--num-nodes": 1,
        "--strategy": "auto",
        "--accumulate": 3,
        "--out": tmp_path / "run",
    }
    settings = ["--set", "schedule={name: multistep, milestones: [1], gamma: 0.5}", "--set", "dataset.seed=3"]
    result = agconv(
        "train",
        "tiny",
        "--recipe",
        RECIPE,
        *(x for pair in flags.items() for x in pair),
        *settings,
        "--no-sync-batch-norm",
    )
    assert result.exit_code == 0, result.stderr
    config = RunFolder(tmp_path / "run").read_config()
    assert (config.model.name, config.epochs, config.batch_size) == ("z2cnn", 1, 12)
    assert (config.optimizer.lr, config.optimizer.weight_decay, config.seed) == (0.02, 0.5, 7)
    assert (config.protocol, config.precision, config.dataset.dir) == ("paper", "bf16-mixed", str(tmp_path))
    assert (config.schedule.milestones, config.dataset.seed) == ((1,), 3)
    assert (config.accumulate, config.num_nodes, config.strategy, config.sync_batch_norm) == (3, 1, "auto", False)


def test_the_machine_reaches_the_settings(agconv):
    flags = {"--accelerator": "gpu", "--devices": 2, "--num-nodes": 3, "--strategy": "ddp", "--workers": 5}
    words = (word for pair in flags.items() for word in pair)
    result = agconv("train", "--recipe", RECIPE, "--batch-size", 12, *words, "--print-config")
    assert result.exit_code == 0, result.stderr
    expected = {option.removeprefix("--").replace("-", "_"): value for option, value in flags.items()}
    assert yaml.safe_load(result.stdout).items() >= expected.items()


def test_the_settings_of_a_run_to_resume_are_printed(agconv, tmp_path):
    RunFolder(tmp_path).write_config(tiny_config(optimizer__lr=0.25))
    result = agconv("train", "--resume", "--out", tmp_path, "--epochs", 7, "--print-config")
    assert result.exit_code == 0, result.stderr
    settings = yaml.safe_load(result.stdout)
    assert (settings["optimizer"]["lr"], settings["epochs"]) == (0.25, 7)


def test_images_of_ones_own_are_trained_on_evaluated_and_predicted(agconv, tmp_path, monkeypatch):
    monkeypatch.setenv("AGCONV_CACHE_DIR", str(tmp_path / "cache"))
    counts = {"train": {"cat": 6, "dog": 6}, "test": {"cat": 2, "dog": 3}}
    folder = write_images(tmp_path / "images", counts, size=(9, 7))
    flags = ["--dataset-dir", folder, "--set", "dataset.image_size=8", "--recipe", "cifar10", "--model", "p4_allcnnc"]
    flags += ["--augmentation", "flip-crop", "--set", "model.channels=2", "--epochs", 1, "--batch-size", 5]
    result = agconv("train", "image-folder", *flags, "--accelerator", "cpu", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    config = RunFolder(tmp_path / "run").read_config()
    assert (config.dataset.folder, config.dataset.augmentation) == (str(folder), "flip-crop")
    assert (config.optimizer.name, config.dataset.image_size) == ("sgd", 8)

    evaluated = json.loads(agconv("evaluate", tmp_path / "run", "--device", "cpu", "--json").stdout)
    assert (evaluated["dataset"], evaluated["images"]) == ("image-folder", 5)
    moved = folder.rename(tmp_path / "moved")
    weights = tmp_path / "run" / "checkpoints" / "best.safetensors"
    again = agconv("evaluate", weights, "--dataset-dir", moved, "--device", "cpu", "--json")
    assert {**json.loads(again.stdout), "weights": ""} == {**evaluated, "weights": ""}
    predicted = agconv("predict", tmp_path / "run", moved / "test" / "dog" / "00.png", "--json")
    assert predicted.exit_code == 0, predicted.stderr
    assert json.loads(predicted.stdout)


def test_recipes_of_other_datasets_go_by_name(agconv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = agconv("train", "image-folder", "--recipe", "cifar", "--dataset-dir", tmp_path)
    assert "no recipe for 'cifar', only for cifar10" in result.stderr
    assert result.exit_code == 1


def test_the_folder_has_a_name_by_default(agconv, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert agconv("train", "--recipe", RECIPE, "--epochs", 1).exit_code == 0
    assert (tmp_path / "runs" / "tiny-p4cnn-0" / "result.json").exists()


def test_resume_adds_epochs(agconv, run):
    result = agconv("train", "--resume", "--out", run, "--epochs", 3)
    assert result.exit_code == 0, result.stderr
    assert f"resuming {run} after epoch 2 of 3" in result.stdout
    assert "epoch 3/3" in result.stdout
    assert "epoch 2/3" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a dataset"),
        (("tinny",), "no recipe for 'tinny'"),
        (("--resume",), "--resume needs --out"),
        (("--resume", "--out", "x", "--recipe", RECIPE), "--recipe .* has no meaning with --resume"),
        (("--resume", "--print-config"), "--resume needs --out"),
        (("--resume", "--out", "x", "--recipe", RECIPE, "--print-config"), "--recipe .* has no meaning with --resume"),
        (("--resume", "--out", "no-such-run"), "there is no run folder no-such-run"),
        (("--recipe", str(RECIPE), "--lr", "0"), r"optimizer\.lr \(=0\.0\) must be greater than 0"),
        (("--recipe", str(RECIPE), "--lr", "1e-3", "--set", "optimizer.lr=1e-2"), "optimizer.lr is given twice"),
        (("--recipe", str(RECIPE), "--set", "epochs"), "form field=value"),
        (("--recipe", str(RECIPE), "--set", "epoch=3"), "unknown field 'epoch': did you mean 'epochs'"),
        (("--recipe", str(RECIPE), "--model", "p4cn"), "did you mean 'p4cnn'"),
        (("--recipe", "none.yaml"), r"none\.yaml"),
        (("--recipe", str(RECIPE), "--protocol", "test"), "must be one of validation, final, paper"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(agconv, tiny, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = agconv("train", *arguments)
    assert result.exit_code == 1
    assert re.search(message, result.stderr)
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused(agconv, run):
    before = sorted(path.name for path in run.rglob("*"))
    result = agconv("train", "--recipe", RECIPE, "--out", run)
    assert result.exit_code == 1
    assert "continue it with --resume, or give another --out" in result.stderr
    assert sorted(path.name for path in run.rglob("*")) == before
