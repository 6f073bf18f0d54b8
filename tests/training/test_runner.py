import csv
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from attentive_gconv.checkpoints import load_weights
from attentive_gconv.checkpoints.run_files import read_json
from attentive_gconv.data.datasets import DATASETS
from attentive_gconv.groups import ApproximateGroupWarning, finite
from attentive_gconv.inference import evaluate
from attentive_gconv.training import ConfigError, RunFolder, RunFolderError, resume, train
from attentive_gconv.training.epoch_files import read_finished
from attentive_gconv.training.module import TrainingError
from attentive_gconv.training.seeding import seed_everything
from noise_images import write_images
from tiny import PowerCut, WatchedImages, tiny_config

PLATEAU = {"name": "plateau", "gamma": 0.5, "patience": 0}
MULTISTEP = {"name": "multistep", "gamma": 0.1, "milestones": [1, 2]}
ONECYCLE = {"name": "onecycle", "warmup": 0.3}
SGD = {"name": "sgd", "lr": 0.01, "momentum": 0.9}


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["seconds"]
    return rows


def same_weights(one: Path, other: Path, which: str) -> bool:
    states = [
        load_weights(folder / "checkpoints" / f"{which}.safetensors").module.state_dict() for folder in (one, other)
    ]
    return all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_run_leaves_a_complete_folder(tiny, tmp_path):
    result = train(tiny_config(), tmp_path / "run")
    left = files(tmp_path / "run")
    checkpoints = {f"checkpoints/{which}.{kind}" for which in ("last", "best") for kind in ("ckpt", "safetensors")}
    records = {"config.yaml", "dataset.json", "environment.json", "metrics.csv", "result.json"}
    assert left >= checkpoints | records
    assert any(name.startswith("tensorboard/events.out.tfevents") for name in left)
    assert not any("partial" in name for name in left)

    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written["test_error"] == result.test_error
    assert written["epochs"] == 3
    assert written["parameters"] == sum(
        p.numel() for p in load_weights(tmp_path / "run/checkpoints/best.safetensors").module.parameters()
    )
    facts = json.loads((tmp_path / "run" / "dataset.json").read_text())
    assert facts["counts"] == {"train": 24, "valid": 15, "test": 18}
    assert (facts["classes"], facts["mean"], facts["std"]) == (["a", "b", "c"], [0.25], [0.5])
    # "auto" is resolved to the source that was found
    assert "source: made" in (tmp_path / "run" / "config.yaml").read_text()
    assert [row["epoch"] for row in metrics(tmp_path / "run")] == ["1", "2", "3"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tiny, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(tiny.journal))
        train(tiny_config(seed=seed, epochs=2), tmp_path / name)
    assert same_weights(tmp_path / "a", tmp_path / "b", "last")
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c", "last")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"schedule": PLATEAU, "protocol": "paper"},
        {"schedule": MULTISTEP, "optimizer": SGD, "precision": "64-true"},
        pytest.param({"workers": 1, "precision": "bf16-mixed"}, marks=pytest.mark.slow),
        {"schedule": ONECYCLE, "ema_decay": 0.7, "protocol": "validation"},
        {"schedule": ONECYCLE, "protocol": "paper", "evaluate_every": 2, "evaluate_from": 2},
    ],
    ids=["adam", "plateau", "sgd-multistep-float64", "workers-bf16", "onecycle-ema", "paper-interval"],
)
def test_a_resumed_run_equals_an_unbroken_one(tiny, tmp_path, settings):
    config = tiny_config(epochs=4, **settings)
    whole = train(config, tmp_path / "whole")

    # three batches of eight make an epoch: the power fails in the middle of the third
    tiny.fail_after(2 * 24 + 10)
    with pytest.raises(PowerCut):
        train(config, tmp_path / "broken")
    assert len(metrics(tmp_path / "broken")) == 2
    assert not (tmp_path / "broken" / "result.json").exists()

    tiny.fail_after(None)
    torch.manual_seed(1234)
    resumed = resume(tmp_path / "broken")
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "whole")
    for which in ("last", "best"):
        assert same_weights(tmp_path / "broken", tmp_path / "whole", which)
    assert resumed.test_error == whole.test_error
    assert (resumed.best_epoch, resumed.epochs) == (whole.best_epoch, 4)
    moments = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"]
        for name in ("whole", "broken")
    ]
    torch.testing.assert_close(moments[0], moments[1], rtol=0, atol=0)
    starts = json.loads((tmp_path / "broken" / "environment.json").read_text())["starts"]
    assert [start["from_epoch"] for start in starts] == [0, 2]


def test_a_run_broken_in_its_first_epoch_starts_again(tiny, tmp_path):
    train(tiny_config(epochs=2), tmp_path / "whole")
    tiny.fail_after(5)
    with pytest.raises(PowerCut):
        train(tiny_config(epochs=2), tmp_path / "broken")
    tiny.fail_after(None)
    resume(tmp_path / "broken")
    assert same_weights(tmp_path / "whole", tmp_path / "broken", "last")


def test_a_run_broken_in_its_final_test_is_only_tested_again(tiny, tmp_path):
    whole = train(tiny_config(), tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    tiny.journal.clear()
    assert resume(tmp_path / "run").test_error == whole.test_error
    assert "train" not in tiny.journal


def test_more_epochs_make_the_run_that_a_longer_one_would_have_been(tiny, tmp_path):
    train(tiny_config(epochs=3), tmp_path / "long")
    train(tiny_config(epochs=2), tmp_path / "short")
    assert resume(tmp_path / "short", {"epochs": 3}).epochs == 3
    assert same_weights(tmp_path / "long", tmp_path / "short", "last")
    assert "epochs: 3" in (tmp_path / "short" / "config.yaml").read_text()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_augments_as_the_unbroken_one_would_have(tmp_path, monkeypatch, workers):
    monkeypatch.setenv("AGCONV_CACHE_DIR", str(tmp_path / "cache"))
    counts = {"train": {"a": 9, "b": 9}, "test": {"a": 1, "b": 1}}
    folder = write_images(tmp_path / "images", counts)

    def config(epochs, workers=0, augmentation="flip-crop"):
        overrides = {
            "dataset": {"name": "image-folder", "folder": str(folder), "augmentation": augmentation},
            "model": {"name": "p4_allcnnc", "channels": 2},
        }
        return tiny_config(epochs=epochs, workers=workers, **overrides)

    train(config(3), tmp_path / "whole")
    train(config(1, workers), tmp_path / "broken")
    resume(tmp_path / "broken", {"epochs": 3})
    assert same_weights(tmp_path / "whole", tmp_path / "broken", "last")
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "broken")
    if not workers:
        train(config(3, augmentation="none"), tmp_path / "plain")
        assert not same_weights(tmp_path / "whole", tmp_path / "plain", "last")


def test_validation_never_sees_the_test_images_before_the_end(tiny, tmp_path):
    train(tiny_config(), tmp_path / "run")
    first = tiny.journal.index("test")
    assert tiny.journal[:first].count("train") == 3 * 24
    assert tiny.journal[:first].count("valid") == 3 * 15
    # once each, and nothing after them
    assert tiny.journal[first:] == ["test"] * 18


def test_validation_reports_the_test_error_of_the_best_weights(tiny, tmp_path):
    result = train(tiny_config(), tmp_path / "run")
    rows = metrics(tmp_path / "run")
    ranked = sorted(rows, key=lambda row: (float(row["valid_error"]), float(row["valid_loss"]), int(row["epoch"])))
    assert result.best_epoch == int(ranked[0]["epoch"])
    assert load_weights(tmp_path / "run/checkpoints/best.safetensors").card.epoch == result.best_epoch
    assert result.valid_error == pytest.approx(float(ranked[0]["valid_error"]))
    assert result.best_test is None


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_losses_are_means_over_images_also_where_the_last_batch_is_smaller(tiny, tmp_path, precision):
    """15 held-out images in batches of 8 and 7."""
    train(tiny_config(precision=precision), tmp_path / "run")
    trained = load_weights(tmp_path / "run/checkpoints/last.safetensors")
    dtype = torch.float64 if precision == "64-true" else torch.float32
    images = WatchedImages("valid", 15, 2, [])
    figures = evaluate(trained.module, images, trained.card.classes, rotations=False, dtype=dtype)
    assert figures.loss == pytest.approx(float(metrics(tmp_path / "run")[-1]["valid_loss"]), rel=1e-5)


@pytest.mark.parametrize("ema_decay", [None, 0.7])
def test_final_trains_on_all_and_uses_the_test_images_once_at_the_end(tiny, tmp_path, ema_decay):
    result = train(tiny_config(protocol="final", epochs=2, ema_decay=ema_decay), tmp_path / "run")
    assert tiny.journal == ["train"] * 24 * 2 + ["test"] * 18
    assert (result.best_epoch, result.valid_error, result.best_test) == (None, None, None)
    left = files(tmp_path / "run")
    assert "checkpoints/last.safetensors" in left
    assert not any("best" in name for name in left)
    assert list(metrics(tmp_path / "run")[0]) == ["epoch", "train_loss", "train_error", "lr"]
    trained = load_weights(tmp_path / "run/checkpoints/last.safetensors")
    images = WatchedImages("test", 18, 3, [])
    assert evaluate(trained.module, images, trained.card.classes, rotations=False).error == result.test_error


def test_a_resumed_final_run_equals_an_unbroken_one(tiny, tmp_path):
    config = tiny_config(epochs=3, protocol="final", schedule=ONECYCLE, ema_decay=0.9)
    whole = train(config, tmp_path / "whole")
    tiny.fail_after(24 + 10)
    with pytest.raises(PowerCut):
        train(config, tmp_path / "broken")
    tiny.fail_after(None)
    assert resume(tmp_path / "broken").test_error == whole.test_error
    assert same_weights(tmp_path / "broken", tmp_path / "whole", "last")
    with pytest.raises(ConfigError, match=r"epochs \(=4\) cannot change in a resumed run with schedule.name=onecycle"):
        resume(tmp_path / "broken", {"epochs": 4})


def test_onecycle_changes_the_learning_rate_with_every_step(tiny, tmp_path):
    train(tiny_config(epochs=4, schedule=ONECYCLE, optimizer__lr=0.1), tmp_path / "run")
    rates = [float(row["lr"]) for row in metrics(tmp_path / "run")]
    # three steps an epoch, twelve in all; the rates after 3, 6, 9 and 12 of them
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=12, pct_start=0.3, cycle_momentum=False
    )
    wanted = []
    for step in range(1, 13):
        optimizer.step()
        schedule.step()
        if step % 3 == 0:
            wanted.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx(wanted, rel=1e-5)


def test_the_saved_weights_are_the_moving_average_of_every_step(tiny, tmp_path):
    one = tiny_config(epochs=1, batch_size=24, protocol="validation")
    train(one, tmp_path / "plain")
    train(tiny_config(epochs=1, batch_size=24, protocol="validation", ema_decay=0.75), tmp_path / "mean")
    # a single step: a quarter of the way from the initial weights
    card = load_weights(tmp_path / "plain/checkpoints/last.safetensors").card
    seed_everything(one.seed)
    initial = card.build().state_dict()
    plain, mean = (
        load_weights(tmp_path / name / "checkpoints/last.safetensors").module.state_dict() for name in ("plain", "mean")
    )
    for name, start in initial.items():
        if start.is_floating_point():
            torch.testing.assert_close(mean[name], start.lerp(plain[name], 0.25))


def test_the_monitored_images_are_evaluated_at_the_interval_and_after_the_last_epoch(tiny, tmp_path):
    train(tiny_config(protocol="paper", epochs=5, evaluate_every=2, evaluate_from=2), tmp_path / "run")
    evaluated = [row["epoch"] for row in metrics(tmp_path / "run") if row["test_error"]]
    assert evaluated == ["3", "5"]
    assert tiny.journal.count("test") == 2 * 18 + 2 * 18


def test_paper_trains_on_all_and_labels_what_is_selected_on_the_test_set(tiny, tmp_path):
    result = train(tiny_config(protocol="paper"), tmp_path / "run")
    rows = metrics(tmp_path / "run")
    assert "valid" not in tiny.journal
    assert result.test_error == pytest.approx(float(rows[-1]["test_error"]))
    assert result.best_test["test_error"] == pytest.approx(min(float(row["test_error"]) for row in rows))
    assert "selected on the test set" in result.selection
    assert result.valid_error is None


def test_progress_is_one_line_an_epoch_and_no_more(tiny, tmp_path, capsys):
    train(tiny_config(), tmp_path / "run", console=Console(width=200))
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].startswith("p4cnn (1,146 parameters) on tiny: 24 training images, 15 validation images")
    assert [line[:9] for line in lines[1:]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert printed.err == ""


def test_the_line_of_an_epoch_is_printed_right_after_it(tiny, tmp_path):
    """It was printed when the next epoch began."""

    class Journal(io.StringIO):
        def write(self, text: str) -> int:
            tiny.journal.append(text[:9])
            return len(text)

    train(tiny_config(epochs=2), tmp_path / "run", console=Console(file=Journal(), width=200))
    first, second = tiny.journal.index("epoch 1/2"), tiny.journal.index("epoch 2/2")
    assert tiny.journal[:first].count("train") == 24
    assert tiny.journal[:second].count("train") == 48
    assert tiny.journal[:second].count("test") == 0


def test_a_terminal_shows_a_bar_and_the_same_lines(tiny, tmp_path, capsys):
    train(tiny_config(epochs=2), tmp_path / "run", console=Console(width=200, force_terminal=True))
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if "train loss" in line]
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2"]


def test_torchs_settings_are_left_as_they_were(tiny, tmp_path):
    def settings():
        flags = (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.get_num_threads())
        return torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype(), *flags

    before = settings()
    train(tiny_config(epochs=1), tmp_path / "run")
    assert settings() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model__name": "p4cn"}, "unknown model 'p4cn': did you mean 'p4cnn'"),
        ({"model__chanels": 3}, "no option 'chanels': did you mean 'channels'"),
        ({"model__channels": 0}, "channels"),
        ({"dataset__name": "tinny"}, "unknown dataset 'tinny': did you mean 'tiny'"),
        ({"precision": "16-mixed"}, "accelerator=cpu, devices=1, precision=16-mixed do not go together"),
        ({"accelerator": "mps"}, "accelerator=mps, devices=1"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(tiny, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(tiny_config(**settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_images_that_the_network_cannot_take_are_refused_before_anything_is_written(tiny, tmp_path):
    tiny.shape = (1, 20, 20)
    with pytest.raises(ValueError, match="28, 28"):
        train(tiny_config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_images_of_another_size_get_the_option_that_scales_them(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "tiny", replace(DATASETS["tiny"], resizable=True))
    tiny.shape = (1, 20, 20)
    with pytest.raises(ValueError, match=r"28, 28.*--set dataset\.image_size=N"):
        train(tiny_config(), tmp_path / "run")


def test_a_folder_in_use_is_refused_before_the_data_are_read(tiny, tmp_path):
    train(tiny_config(epochs=1), tmp_path / "run")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in files(tmp_path / "run")}
    tiny.journal.clear()
    with pytest.raises(RunFolderError, match="not empty: continue it with --resume"):
        train(tiny_config(), tmp_path / "run")
    assert {name: (tmp_path / "run" / name).read_bytes() for name in files(tmp_path / "run")} == before
    assert tiny.journal == []


def test_a_complete_run_is_not_resumed(tiny, tmp_path):
    train(tiny_config(epochs=1), tmp_path / "run")
    with pytest.raises(RunFolderError, match="complete with its 1 epochs: add some with --epochs"):
        resume(tmp_path / "run")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optimizer.lr": 0.5}, r"optimizer.lr \(=0.5\) cannot change in a resumed run, which has 0.01"),
        ({"seed": 5}, r"seed \(=5\) cannot change"),
        ({"model.channels": 5}, r"model.channels \(=5\) cannot change"),
        ({"model.dropout": 0.1}, r"model.dropout \(=0.1\) cannot change in a resumed run, which has None"),
        ({"epochs": 1}, r"epochs \(=1\) is less than the 2 that are already finished"),
    ],
)
def test_a_resumed_run_stays_the_same_run(tiny, tmp_path, overrides, message):
    train(tiny_config(epochs=2), tmp_path / "run")
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    with pytest.raises(ConfigError, match=message):
        resume(tmp_path / "run", overrides)
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


def test_changed_data_are_noticed(tiny, tmp_path):
    train(tiny_config(epochs=1), tmp_path / "run")
    tiny.std = 0.6
    with pytest.raises(RunFolderError, match=r"no longer those it was started with \(dataset\.json differs\)"):
        resume(tmp_path / "run", {"epochs": 2})


@pytest.mark.parametrize("damage", [lambda content: content[:-200], lambda content: b"not a checkpoint"])
def test_a_damaged_checkpoint_is_refused(tiny, tmp_path, damage):
    train(tiny_config(epochs=1), tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(RunFolderError, match=r"last\.ckpt is damaged"):
        resume(tmp_path / "run", {"epochs": 2})


def test_a_checkpoint_that_would_execute_something_is_refused(tiny, tmp_path):
    class Harmful:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harm",))

    train(tiny_config(epochs=1), tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content | {"harm": Harmful()}, checkpoint)
    with pytest.raises(RunFolderError, match="damaged"):
        resume(tmp_path / "run", {"epochs": 2})
    assert not (tmp_path / "harm").exists()


def test_training_that_diverges_says_what_to_change(tiny, tmp_path):
    config = tiny_config(optimizer={"name": "sgd", "lr": 1e30})
    with pytest.raises(TrainingError, match=r"the training loss of epoch \d is .*optimizer.lr \(=1e\+30\)"):
        train(config, tmp_path / "run")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RunFolderError, match="there is no run folder"):
        resume(tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18)])
def test_an_empty_checkpoint_is_refused_in_one_line(tiny, tmp_path, content):
    train(tiny_config(epochs=1), tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"last\.ckpt is damaged and cannot be resumed from"):
        resume(tmp_path / "run", {"epochs": 2})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
@pytest.mark.parametrize("name", ["config.yaml", "checkpoints/last.ckpt", "dataset.json", "environment.json"])
def test_a_pipe_in_the_place_of_a_file_does_not_hang(tiny, tmp_path, name):
    train(tiny_config(epochs=1), tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(RunFolderError):
        resume(tmp_path / "run", {"epochs": 2})


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "dataset.json", "config.yaml"])
def test_no_flipped_bit_changes_a_resumed_run(tiny, tmp_path, name):
    config = tiny_config(epochs=1)
    train(config, tmp_path / "run")
    path = tmp_path / "run" / name
    whole = path.read_bytes()
    folder, accepted = RunFolder(tmp_path / "run"), 0
    before = read_finished(folder)
    for bit in torch.randint(8 * len(whole), (100,), generator=torch.Generator().manual_seed(0)).tolist():
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            stored, finished = folder.read_config(), read_finished(folder)
            facts = read_json(folder.dataset_file)
        except ValueError:
            continue
        accepted += 1
        assert stored == replace(config, dataset=replace(config.dataset, source="made"))
        assert finished.history == before.history
        assert all(torch.equal(value, before.state[key]) for key, value in finished.state.items())
        assert facts["classes"] == ["a", "b", "c"]
    assert accepted < 30


def test_more_workers_than_the_machine_can_carry_are_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"workers \(=4000\) is more than this machine can run"):
        train(tiny_config(workers=4000), tmp_path / "run")


def test_a_network_that_does_not_fit_into_memory_is_refused_before_it_is_made(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"weights need [\d,]+ GB of memory"):
        train(tiny_config(model__channels=200_000), tmp_path / "run")


def test_a_warning_about_the_group_points_to_the_line_that_starts_the_training(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(finite, "_WARNED", set())
    config = tiny_config(epochs=1, model__group="c6")
    with pytest.warns(ApproximateGroupWarning) as said:
        train(config, tmp_path / "run")
    assert [warning.filename for warning in said if warning.category is ApproximateGroupWarning] == [__file__]


def rewritten(path: Path, change) -> None:
    content = json.loads(path.read_text())
    content.pop("sha256")
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("starts", [5, ["x"], {"a": 1}])
def test_a_broken_environment_file_is_named(tiny, tmp_path, starts):
    tiny.fail_after(30)
    with pytest.raises(PowerCut):
        train(tiny_config(), tmp_path / "run")
    tiny.fail_after(None)
    rewritten(tmp_path / "run" / "environment.json", lambda content: content.update(starts=starts))
    with pytest.raises(RunFolderError, match=r"environment\.json is broken: `starts` must list"):
        resume(tmp_path / "run")


def broken_history(content, history) -> None:
    content["callbacks"]["RunRecorder"]["history"] = history


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: broken_history(c, [5]), "is damaged"),
        (
            lambda c: broken_history(c, [{"epoch": 1, "valid_error": 0.5, "lr": 1.0, "seconds": 1.0}]),
            "lacks some metrics",
        ),
        (lambda c: broken_history(c, [{"epoch": "1", "lr": 1.0, "seconds": 1.0}]), "other than numbers"),
        (lambda c: c["state_dict"].pop("network.c1.weight"), r"last\.ckpt does not fit p4cnn: missing: c1\.weight"),
    ],
)
def test_a_checkpoint_that_is_not_that_of_the_run_is_refused(tiny, tmp_path, change, message):
    """Its history ended in a KeyError, its weights in an error of Lightning."""
    train(tiny_config(epochs=1), tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    with pytest.raises(RunFolderError, match=message):
        resume(tmp_path / "run", {"epochs": 2})


def test_a_callers_console_prints_paths_verbatim(tiny, tmp_path):
    """Of a folder `a [red]` the command to copy named another folder, and long ones were wrapped."""
    folder = tmp_path / "a [red] :cat:"
    text = io.StringIO()
    tiny.fail_after(30)
    with pytest.raises(PowerCut):
        train(tiny_config(), folder)
    tiny.fail_after(None)
    resume(folder, console=Console(file=text, width=30))
    assert f"resuming {folder} after epoch 1 of" in text.getvalue()
