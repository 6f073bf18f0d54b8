"""The commands with a network that comes with the package: made here from a run of two epochs."""

import json

import pytest
from PIL import Image

import attentive_gconv as ag
from attentive_gconv.checkpoints import open_model, pretrained
from attentive_gconv.checkpoints.pretrained import pretrained_card
from attentive_gconv.models import shipped_cards
from ship_weights import ship
from tiny import RECIPE


@pytest.fixture
def run(agconv, tiny, tmp_path):
    """A run of the network as the registry has it."""
    options = ("--set", "model.channels=10", "--epochs", 1)
    result = agconv("train", "--recipe", RECIPE, *options, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    return tmp_path / "run"


@pytest.fixture
def shipped(run, tmp_path, monkeypatch):
    """The run's p4cnn as the package's default."""
    monkeypatch.setattr(shipped_cards, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(pretrained, "DEFAULT", "p4cnn.tiny")
    return ship(run, tmp_path / "weights")


@pytest.fixture
def image(tmp_path):
    Image.radial_gradient("L").save(tmp_path / "x.png")
    return tmp_path / "x.png"


def test_an_image_alone_is_given_to_the_default(agconv, shipped, run, image, tmp_path):
    by_run = agconv("predict", run, image, "--json")
    by_name = agconv("predict", "p4cnn", image, "--json")
    assert agconv("predict", "p4cnn.tiny", image, "--json").stdout == by_name.stdout
    alone = agconv("predict", image, "--json")
    assert by_run.exit_code == by_name.exit_code == alone.exit_code == 0
    assert by_run.stdout == by_name.stdout == alone.stdout
    assert "network: p4cnn.tiny, shipped with the package" in alone.stderr
    assert by_name.stderr.count("network:") == 0
    result = agconv("explain", image, "--out", tmp_path / "out", "--no-animation")
    assert result.exit_code == 0, result.stderr


def test_a_missing_run_is_no_image(agconv, shipped, image):
    result = agconv("predict", "runs/af0", image)
    assert result.exit_code == 1
    assert (
        "there is no run folder or file of weights runs/af0; networks that come with the package: p4cnn.tiny"
        in result.stderr
    )


def test_evaluate_without_a_run(agconv, shipped, run):
    figures = json.loads(agconv("evaluate", "--json").stdout)
    assert figures["error"] == json.loads((run / "result.json").read_text())["test_error"]
    assert figures["error"] == pretrained_card("p4cnn")["test_error"]


def test_without_shipped_weights_a_network_must_be_named(agconv, image, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_cards, "FOLDER", tmp_path)
    result = agconv("predict", image)
    assert result.exit_code == 1
    assert "no network is named" in result.stderr


def test_shipped_weights_open_by_name_unless_there_is_such_a_file(shipped, tmp_path, monkeypatch):
    assert open_model("p4cnn").trained.card.dataset == "tiny"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p4cnn").mkdir()
    with pytest.raises(ValueError, match="is no run folder"):
        open_model("p4cnn")
    assert ag.list_pretrained() == ["p4cnn.tiny"]
