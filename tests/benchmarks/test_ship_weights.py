"""Weights in the package: how they get there, and that they are checked when they are read."""

import json
import sys

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.checkpoints import open_model
from attentive_gconv.models import shipped_cards
from attentive_gconv.training import RunFolderError, train
from provenance import without_folders
from ship_weights import main, ship
from tiny import tiny, tiny_config  # noqa: F401


@pytest.fixture
def run(tiny, tmp_path):  # noqa: F811
    train(tiny_config(epochs=1, model__channels=10), tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_cards, "FOLDER", tmp_path / "weights")
    return tmp_path / "weights"


def test_the_card_says_how_the_weights_were_made(run, folder):
    path = ship(run, folder)
    card = ag.checkpoints.pretrained_card("p4cnn")
    result = json.loads((run / "result.json").read_text())
    for key in ("test_error", "seed", "epochs", "protocol", "seconds_per_epoch", "parameters"):
        assert card[key] == result[key]
    assert card["bytes"] == path.stat().st_size
    assert card["data"] == "noise and three patterns"
    assert {"torch", "attentive-gconv"} <= card["packages"].keys()
    assert card["commands"]
    model = ag.create_model("p4cnn", pretrained=True, num_classes=3)
    assert not model.training
    images = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(model(images), open_model(run).trained.module(images))


def test_damaged_and_missing_weights_are_not_read(run, folder):
    with pytest.raises(ValueError, match="no trained weights come with this installation"):
        ag.create_model("p4cnn", pretrained=True)
    path = ship(run, folder)
    with pytest.raises(ValueError, match="leave out what changes the network"):
        ag.create_model("p4cnn", pretrained=True, channels=4)
    with pytest.raises(ValueError, match="did you mean 'p4cnn'"):
        ag.create_model("z2cnn", pretrained=True)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="sha256 differs"):
        ag.create_model("p4cnn", pretrained=True, num_classes=3)
    with pytest.raises(ValueError, match="sha256 differs"):
        open_model("p4cnn")


def test_pretrained_weights_need_safetensors(run, folder, monkeypatch):
    ship(run, folder)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match=r"pip install 'attentive-gconv\[train\]'"):
        ag.create_model("p4cnn", pretrained=True, num_classes=3)


def test_only_finished_runs_of_the_honest_protocol_are_shipped(run, folder, tmp_path, monkeypatch, capsys):
    (run / "result.json").rename(tmp_path / "result.json")
    monkeypatch.setattr(sys, "argv", ["ship_weights", str(run), "--out", str(folder)])
    with pytest.raises(SystemExit, match="is not finished"):
        main()
    assert not folder.exists()
    (tmp_path / "result.json").rename(run / "result.json")
    main()
    assert "p4cnn.tiny.safetensors" in capsys.readouterr().out
    train(tiny_config(epochs=1, protocol="paper", model__channels=10), tmp_path / "paper")
    with pytest.raises(RunFolderError, match="weights come from 'final' or 'validation'"):
        ship(tmp_path / "paper", folder)


def test_networks_with_options_of_their_own_are_refused(tiny, folder, tmp_path):  # noqa: F811
    train(tiny_config(epochs=1, model__channels=2), tmp_path / "narrow")
    with pytest.raises(RunFolderError, match="has the options"):
        ship(tmp_path / "narrow", folder)


def test_folders_are_left_out():
    command = ["agconv", "train", "rot-mnist", "--data-dir", "x/y", "--data-dir=x/y", "--out", "/z", "--seed", "0"]
    assert without_folders(command) == [*command[:4], "DIR", "--data-dir=DIR", "--out", "z", "--seed", "0"]


def test_every_shipped_card_is_that_of_its_weights():
    """Of the weights that are in the package; there may be none in a checkout."""
    for name in ag.list_pretrained():
        model, _, tag = name.partition(".")
        card = ag.checkpoints.pretrained_card(name)
        assert (card["model"], tag) == (model, "rot_mnist")
        assert ag.checkpoints.pretrained_card(model) == card
        assert sum(p.numel() for p in ag.create_model(name, pretrained=True).parameters()) > 0
