"""Networks, datasets, optimizers and augmentations of the user's on the command line."""

import json
import sys

import pytest
import torch
import typer

from attentive_gconv.checkpoints import load_weights
from attentive_gconv.cli.app import app
from attentive_gconv.training import RunFolder
from tiny import RECIPE

MODULE = """
import torch
import attentive_gconv as ag
from attentive_gconv.data import DataSplits, InMemoryDataset, register_dataset
from attentive_gconv.data.augmentation import make_augmentation

class Net(torch.nn.Module):
    def __init__(self, num_classes=2, in_channels=1, channels=2):
        super().__init__()
        self.lift = ag.nn.LiftingConv2d("p4", in_channels, channels, 3)
        self.last = ag.nn.GroupConv2d("p4", channels, num_classes, 3)
    def forward(self, x):
        return self.last(self.lift(x).relu()).mean((-3, -2, -1))

def load(request):
    images = torch.rand(24, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(24) % 2
    images[labels == 1] += 1
    valid, test = (InMemoryDataset(images[i::3], labels[i::3]) for i in (1, 2))
    train = InMemoryDataset(images[::3], labels[::3], augmentation=make_augmentation(request.augmentation, 8))
    return DataSplits("NAME", "noise", "drawn", ("dark", "light"), (1, 9, 9), train, valid, test, (0.0,), (1.0,),
                      request.protocol, augmentation=str(request.augmentation))

def dimmed(image):
    return image * torch.rand(1)

class Slow(torch.optim.SGD):
    pass

ag.models.register("NAME_net", Net, image_shape=(1, 9, 9), num_classes=2)
register_dataset("NAME", load, sources={"drawn": "drawn here"})
"""


@pytest.fixture
def name(tmp_path, monkeypatch):
    name = "own" + str(abs(hash(str(tmp_path))))
    (tmp_path / f"{name}.py").write_text(MODULE.replace("NAME", name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    sys.modules.pop(name, None)


def test_a_network_a_dataset_and_an_optimizer_of_ones_own(agconv, name, tmp_path):
    flags = ["--recipe", "digits", "--model", f"{name}_net", "--epochs", 2, "--accelerator", "cpu", "--out", "run"]
    flags += ["--set", f"optimizer.name={name}.Slow"]
    refused = agconv("train", name, *flags)
    assert refused.exit_code == 1
    result = agconv("train", name, "--import", name, *flags)
    assert result.exit_code == 0, result.stderr
    config = RunFolder(tmp_path / "run").read_config()
    assert (config.imports, config.optimizer.name) == ((name,), f"{name}.Slow")
    evaluated = agconv("evaluate", "run", "--import", f"{name}.py", "--json", "--device", "cpu")
    assert json.loads(evaluated.stdout)["dataset"] == name
    assert json.loads(agconv("models", f"{name}*", "--import", name, "--json").stdout)[0]["name"] == f"{name}_net"
    assert name in agconv("data", "--import", name, "--json").stdout
    sys.modules.pop(name)
    resumed = agconv("train", "--resume", "--out", "run", "--epochs", 3)
    assert resumed.exit_code == 1
    assert f"was trained with --import {name}: give it again" in resumed.stderr
    assert f"--import {name} --resume" in RunFolder(tmp_path / "run").how_to_continue()


def test_a_resumed_run_with_a_transform_is_the_unbroken_one(agconv, name, tmp_path):
    flags = [name, "--import", name, "--augmentation", f"{name}.dimmed", "--recipe", "digits", "--accelerator", "cpu"]
    flags += ["--model", f"{name}_net"]
    assert agconv("train", *flags, "--epochs", 2, "--out", "whole").exit_code == 0
    assert agconv("train", *flags, "--epochs", 1, "--out", "parts").exit_code == 0
    assert agconv("train", "--import", name, "--resume", "--out", "parts", "--epochs", 2).exit_code == 0
    one, other = (
        load_weights(RunFolder(tmp_path / run).weights("last")).module.state_dict() for run in ("whole", "parts")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_settings_are_printed_and_nothing_is_trained(agconv, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = agconv("train", "--recipe", RECIPE, "--lr", "0.5", "--print-config")
    assert result.exit_code == 0, result.stderr
    (tmp_path / "printed.yaml").write_text(result.stdout)
    again = agconv("train", "--recipe", "printed.yaml", "--print-config")
    assert again.stdout == result.stdout
    assert "lr: 0.5" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["printed.yaml"]
    assert agconv("train", "--print-config").exit_code == 1


COMMANDS = typer.main.get_command(app).commands
IMPORTING = [name for name in COMMANDS if any("--import" in option.opts for option in COMMANDS[name].params)]


@pytest.mark.parametrize("command", IMPORTING)
def test_a_module_that_cannot_be_imported_is_one_line(agconv, command):
    result = agconv(command, "--import", "no_such_module")
    assert result.exit_code == 1
    assert result.stderr.startswith("agconv: --import no_such_module failed")
    assert result.stderr.count("\n") == 1


def test_completion_is_offered(agconv):
    assert "--install-completion" in agconv("--help").stdout
