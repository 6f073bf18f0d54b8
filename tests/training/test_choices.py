"""Optimizers and schedules of PyTorch by name: settings, steps, and runs that are resumed."""

import pytest
import torch
from torch import nn

from attentive_gconv.checkpoints import load_weights
from attentive_gconv.settings import ConfigError
from attentive_gconv.training import RunFolder, load_recipe, resume, train
from attentive_gconv.training.optim import make_optimizer, make_schedule
from tiny import PowerCut, tiny, tiny_config  # noqa: F401

COSINE = {"name": "CosineAnnealingWarmRestarts", "T_0": 5, "interval": "step"}


def test_an_optimizer_of_pytorch_with_its_options():
    settings = {"name": "AdamW", "lr": 0.1, "weight_decay": 0.2, "betas": [0.8, 0.9]}
    config = tiny_config(optimizer=settings)
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], config.optimizer)
    assert type(optimizer) is torch.optim.AdamW
    assert {key: optimizer.defaults[key] for key in ("lr", "weight_decay")} == {"lr": 0.1, "weight_decay": 0.2}
    assert list(optimizer.defaults["betas"]) == [0.8, 0.9]
    rprop = tiny_config(optimizer={"name": "torch.optim.Rprop"}).optimizer
    assert type(make_optimizer([nn.Parameter(torch.zeros(1))], rprop)) is torch.optim.Rprop  # it has no weight decay
    nesterov = tiny_config(optimizer={"name": "sgd", "momentum": 0.9, "nesterov": True}).optimizer
    assert make_optimizer([nn.Parameter(torch.zeros(1))], nesterov).defaults["nesterov"]


def test_a_schedule_of_pytorch_with_its_options():
    config = tiny_config(schedule={"name": "StepLR", "step_size": 2, "gamma": 0.1})
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], config.optimizer)
    schedule = make_schedule(optimizer, config.schedule, steps=10)
    assert type(schedule) is torch.optim.lr_scheduler.StepLR
    assert (schedule.step_size, schedule.gamma, config.schedule.follows_steps) == (2, 0.1, False)
    assert tiny_config(schedule=COSINE).schedule.follows_steps


def test_the_run_folder_holds_the_settings_as_they_were_given(tiny, tmp_path):  # noqa: F811
    config = tiny_config(epochs=1, optimizer={"name": "AdamW", "amsgrad": True}, schedule=COSINE)
    train(config, tmp_path / "run")
    again = load_recipe(tmp_path / "run" / "config.yaml")
    assert (again.optimizer, again.schedule) == (config.optimizer, config.schedule)
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert "  amsgrad: true" in text
    assert "  T_0: 5" in text


def test_a_resumed_run_is_the_unbroken_one(tiny, tmp_path):  # noqa: F811
    config = tiny_config(epochs=3, optimizer={"name": "RAdam", "lr": 1e-3}, schedule=COSINE)
    train(config, tmp_path / "whole")
    tiny.fail_after(40)  # in the second epoch
    with pytest.raises(PowerCut):
        train(config, tmp_path / "broken")
    tiny.fail_after(None)
    resume(tmp_path / "broken")
    one, other = (
        load_weights(RunFolder(tmp_path / name).weights("last")).module.state_dict() for name in ("whole", "broken")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    rates = [(tmp_path / name / "metrics.csv").read_text().count("\n") for name in ("whole", "broken")]
    assert rates[0] == rates[1] == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": {"name": "AdamV"}}, r"unknown optimizer.name 'AdamV': did you mean 'Adam"),
        (
            {"optimizer": {"name": "AdamW", "beta": [1]}},
            "unknown field 'optimizer.beta': did you mean 'optimizer.betas'",
        ),
        ({"optimizer": {"name": "own_optimizers.Lion"}}, "add --import own_optimizers"),
        ({"optimizer": {"name": "os.system"}}, "is in a module that is not imported"),
        (
            {"schedule": {"name": "CosineLR"}},
            r"unknown schedule.name 'CosineLR': did you mean 'CosineAnnealingLR'",
        ),
        ({"schedule": {"name": "ReduceLROnPlateau"}}, "take 'plateau', which watches the accuracy"),
        (
            {"schedule": {"name": "StepLR", "step": 2}},
            "unknown field 'schedule.step': did you mean 'schedule.step_size'",
        ),
        ({"schedule": {"name": "multistep", "milestones": [1], "gamma": 0.5, "interval": "step"}}, "schedule.interval"),
        ({"schedule": {"name": "StepLR", "interval": "day"}}, "must be one of epoch, step"),
    ],
)
def test_bad_names_and_options_are_refused_with_a_remedy(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny_config(**settings)


def test_what_the_class_itself_refuses_is_found_before_anything_is_written(tiny, tmp_path):  # noqa: F811
    with pytest.raises(ConfigError, match=r"schedule.name \(=StepLR\) refuses its settings"):
        train(tiny_config(epochs=1, schedule={"name": "StepLR"}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
