"""Batch normalisation over several processes, and the run of two processes beside that of one."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

import attentive_gconv as ag
from attentive_gconv.nn import GroupBatchNorm2d
from attentive_gconv.training import load_recipe, train
from attentive_gconv.training.synchronise import SynchroniseBatchNorm, SynchronisedBatchNorm
from noise_images import write_images


@pytest.fixture
def group_of_one():
    """A process group that this process alone belongs to."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("momentum", [0.1, None])
def test_it_is_torchs_batch_normalisation(group_of_one, momentum):
    ours = SynchronisedBatchNorm(3, momentum=momentum).double()
    theirs = nn.BatchNorm3d(3, momentum=momentum).double()
    with torch.no_grad():
        for layer in (ours, theirs):
            layer.weight.copy_(torch.tensor([0.5, -2.0, 1.5]))
            layer.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    for _ in range(3):
        x = (5 + 3 * torch.randn(4, 3, 2, 3, 3, dtype=torch.float64)).requires_grad_()
        weights = torch.randn(4, 3, 2, 3, 3, dtype=torch.float64)
        results = []
        for layer in (ours, theirs):
            out = layer(x)
            gradients = torch.autograd.grad((out * weights).sum(), [x, layer.weight, layer.bias])
            results.append([out, *gradients, layer.running_mean.clone(), layer.running_var.clone()])
        torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)
    for layer in (ours, theirs):
        layer.eval()
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_lower_precision_is_kept_outside_and_not_within(group_of_one):
    x = 100 + torch.randn(4, 2, 64)
    low = SynchronisedBatchNorm(2)(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), SynchronisedBatchNorm(2)(x.bfloat16().float()), rtol=1e-2, atol=1e-2)


def test_statistics_of_one_image_a_process_are_those_of_all(group_of_one, monkeypatch):
    """One value a channel in this process, several in all of them: nothing to refuse."""
    gate = ag.nn.ChannelAttention("z2", 4, 2, over_group=False, norm="output").train()
    x = torch.randn(1, 4, 5, 5)
    with pytest.raises(ValueError, match="more than one value a channel"):
        gate(x)
    SynchroniseBatchNorm().apply(gate)
    monkeypatch.setattr(dist, "all_reduce", lambda total: total.mul_(2))
    assert gate(x).isfinite().all()


def test_a_models_layers_are_replaced_and_put_back(group_of_one):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Sequential(GroupBatchNorm2d(2), nn.ReLU()))
    before, names = dict(model.named_modules()), list(model.state_dict())
    parameters = list(model.parameters())
    plugin = SynchroniseBatchNorm()
    assert plugin.apply(model) is model
    assert isinstance(model[1], SynchronisedBatchNorm)
    assert isinstance(model[2][0], SynchronisedBatchNorm)
    assert list(model.state_dict()) == names
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))
    model[1](torch.randn(3, 2, 4, 4))
    moved = model[1].running_mean.clone()
    plugin.revert(model)
    assert dict(model.named_modules()) == before
    assert torch.equal(model[1].running_mean, moved)
    assert moved.abs().max() > 0


def metrics(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path, monkeypatch):
    """The command line on two processes of this machine: the same batches, losses and weights, up to rounding.

    Attention, batch normalisation, augmentation, a smaller last batch and validation shares of two sizes take part.
    Dropout does not: every device draws its own.
    """
    monkeypatch.setenv("AGCONV_CACHE_DIR", str(tmp_path / "cache"))
    counts = {"train": {"a": 9, "b": 9}, "valid": {"a": 3, "b": 2}, "test": {"a": 2, "b": 2}}
    folder = write_images(tmp_path / "images", counts)
    overrides = {
        "dataset.name": "image-folder",
        "dataset.folder": str(folder),
        "dataset.augmentation": "flip-crop",
        "model": {"name": "alpha_f_p4_allcnnc", "channels": 2, "ratio": 2, "dropout": 0.0, "input_dropout": 0.0},
        "epochs": 2,
        "batch_size": 8,
        "precision": "64-true",
        "accelerator": "cpu",
    }
    train(load_recipe("cifar10", overrides), tmp_path / "one")
    flags = [f"--set={name}={value}" for name, value in overrides.items() if name != "model"]
    model = ", ".join(f"{name}: {value}" for name, value in overrides["model"].items())
    subprocess.run(
        [
            *(sys.executable, "-m", "attentive_gconv", "train", "--recipe", "cifar10", *flags),
            *("--set", f"model={{{model}}}", "--devices", "2", "--out", str(tmp_path / "two")),
        ],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert len(one) == len(two) == 2
    for row, other in zip(one, two, strict=True):
        for name in ("train_loss", "train_error", "valid_loss", "valid_error"):
            # Lightning logs in float32
            assert other[name] == pytest.approx(row[name], rel=1e-5), name
    states = [load_file(tmp_path / name / "checkpoints" / "last.safetensors") for name in ("one", "two")]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-9, atol=1e-11)
