"""Trainings that start from trained weights: what is taken over, recorded, and refused."""

import json
from dataclasses import replace

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.checkpoints import load_weights, open_model, save_weights
from attentive_gconv.nn import transpose_kernels_
from attentive_gconv.settings import ConfigError
from attentive_gconv.training import RunFolder, RunFolderError, load_recipe, resume, train
from attentive_gconv.training.initial import take_initial_weights
from tiny import RECIPE, PowerCut, tiny, tiny_config  # noqa: F401


@pytest.fixture
def run(tiny, tmp_path):  # noqa: F811
    train(tiny_config(epochs=1, model__channels=3), tmp_path / "first")
    return tmp_path / "first"


def without_steps(**options):
    """A run whose weights stay as they are at the start."""
    return tiny_config(epochs=1, optimizer__lr=1e-30, **options)


def test_a_run_starts_from_the_weights_of_another(run, tmp_path):
    config = without_steps(init=str(run))
    assert (config.model.name, config.model.options["channels"]) == ("p4cnn", 3)
    train(config, tmp_path / "second")
    before, after = (open_model(folder).trained.module for folder in (run, tmp_path / "second"))
    assert torch.equal(before.c7.weight, after.c7.weight)
    (start,) = json.loads((tmp_path / "second" / "environment.json").read_text())["starts"]
    assert start["init"]["network"] == "p4cnn"
    assert (start["init"]["initialised"], start["init"]["file"]) == ([], "best.safetensors")
    again = load_recipe(tmp_path / "second" / "config.yaml")
    assert replace(again, dataset=config.dataset) == config


def test_only_what_the_command_line_leaves_open_follows_from_the_weights(run):
    assert tiny_config(init=str(run), model__name="z2cnn").model.name == "z2cnn"
    assert tiny_config(init=str(run), model__channels=5).model.options["channels"] == 5
    config = load_recipe("image-folder", {"init": "p4cnn"})
    assert (config.model.name, config.dataset.image_size) == ("p4cnn", 28)
    assert load_recipe("image-folder", {"init": "p4cnn", "dataset.image_size": 32}).dataset.image_size == 32
    assert load_recipe("digits", {"init": "p4cnn"}).dataset.image_size is None


def test_weights_for_other_axes_are_transposed(run):
    trained = open_model(run).trained
    stored = replace(trained.card, transposed=True)
    network = stored.build()
    take_initial_weights(network, str(run), stored)
    assert torch.equal(network.c1.weight, trained.module.c1.weight.mT)
    images = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(network.eval()(images.mT), trained.module(images))


def test_a_transposition_that_no_weights_hold_is_refused(run, monkeypatch):
    card = replace(open_model(run).trained.card, transposed=True)
    monkeypatch.setattr("attentive_gconv.training.initial.transposed_beside_weights", lambda model: ["pool"])
    with pytest.raises(ConfigError, match="changes more than weights in pool: train on images stored the same way"):
        take_initial_weights(card.build(), str(run), card)


def test_what_does_not_fit_has_the_initial_weights_of_the_seed(run, tmp_path):
    options = {"model__name": "p4cnn", "model__channels": 3, "model__attention": "full"}
    train(without_steps(**options), tmp_path / "new")
    train(without_steps(**options, init=str(run)), tmp_path / "tuned")
    new, tuned, old = (open_model(f).trained.module for f in (tmp_path / "new", tmp_path / "tuned", run))
    assert torch.equal(tuned.c2.weight, old.c2.weight)
    gate = "c2.channel_attention.weight_fc1"
    assert torch.equal(tuned.get_parameter(gate), new.get_parameter(gate))


def test_a_resumed_run_is_the_unbroken_one(run, tiny, tmp_path):  # noqa: F811
    config = tiny_config(epochs=2, init=str(run))
    train(config, tmp_path / "whole")
    for reads in (10, 30):  # in the first epoch, and in the second
        tiny.fail_after(reads)
        with pytest.raises(PowerCut):
            train(config, tmp_path / f"broken{reads}")
        tiny.fail_after(None)
        resume(tmp_path / f"broken{reads}")
        weights = (load_weights(RunFolder(tmp_path / name).weights("last")) for name in ("whole", f"broken{reads}"))
        one, other = (trained.module.state_dict() for trained in weights)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_other_weights_are_refused_when_a_run_is_resumed(run, tiny, tmp_path):  # noqa: F811
    file = tmp_path / "start.safetensors"
    trained = open_model(run).trained
    save_weights(file, trained.module, trained.card)
    tiny.fail_after(10)
    with pytest.raises(PowerCut):
        train(tiny_config(epochs=1, init=str(file)), tmp_path / "broken")
    tiny.fail_after(None)
    save_weights(file, transpose_kernels_(trained.module), trained.card)
    with pytest.raises(RunFolderError, match=r"no longer holds the weights that .*broken was started with"):
        resume(tmp_path / "broken")


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        ("p4cn", FileNotFoundError, "there is no run folder or file of weights p4cn; networks that come with"),
        ("", ConfigError, r"init \(=''\) is empty"),
        ("x.pth", ConfigError, r"init \(='x.pth'\) must be a run folder, a \.safetensors file, or a network"),
    ],
)
def test_what_holds_no_weights_is_refused(tiny, init, error, message):  # noqa: F811
    with pytest.raises(error, match=message):
        load_recipe(RECIPE, {"init": init})


def test_weights_of_which_nothing_fits_are_refused(run, tmp_path):
    config = tiny_config(init=str(run), model__name="p4_allcnnc", model__channels=2)
    with pytest.raises(ConfigError, match=r"init \(='.*first'\) cannot be used for p4_allcnnc"):
        train(config, tmp_path / "x")
    assert not (tmp_path / "x" / "config.yaml").exists()
    assert ag.list_pretrained()
