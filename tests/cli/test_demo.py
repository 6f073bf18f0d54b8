import importlib
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.checkpoints import load_weights, save_weights
from attentive_gconv.cli.demo import networks
from attentive_gconv.models import shipped_cards
from attentive_gconv.training import ConfigError


def test_networks_are_told_apart(run, tmp_path):
    weights = run / "checkpoints" / "last.safetensors"
    models = networks([run, weights], None, None)
    assert list(models)[:2] == ["p4cnn", f"p4cnn ({weights})"]


def test_the_authors_checkpoints_go_by_their_names(tmp_path):
    state = {
        key.replace(".attention.", "."): value for key, value in ag.create_model("alpha_f_p4cnn").state_dict().items()
    }
    torch.save(state, tmp_path / "alpha_f_p4cnn.pth")
    assert "alpha_f_p4cnn" in networks([tmp_path / "alpha_f_p4cnn.pth"], "digits", None)
    torch.save(state, tmp_path / "mine.pth")
    with pytest.raises(ValueError, match="unknown model 'mine'"):
        networks([tmp_path / "mine.pth"], "digits", None)


def test_a_dataset_is_not_ignored_where_no_file_needs_one(agconv, untrained, tmp_path):
    for option in (("--dataset", "digits"), ("--data-dir", tmp_path)):
        result = agconv("demo", untrained(), *option)
        assert result.exit_code == 1
        assert "--dataset and --data-dir are for .pth files" in result.stderr


def test_the_page_is_served_where_it_is_asked_for(agconv, untrained, tmp_path, monkeypatch):
    pytest.importorskip("starlette")
    from attentive_gconv.visualize.page import server

    launched = {}

    def launch(**options):
        launched.update(options)
        return None, "http://page", None

    gradio = ModuleType("gradio")
    gradio.themes = SimpleNamespace(Base=dict)
    monkeypatch.setattr(server, "_gradio", lambda: gradio)
    monkeypatch.setattr(server, "build_page", lambda models: SimpleNamespace(launch=launch))
    monkeypatch.setattr(importlib.import_module("attentive_gconv.cli.demo"), "_wait", lambda: None)
    monkeypatch.setattr(shipped_cards, "FOLDER", tmp_path)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    result = agconv("demo", untrained(), "--host", "0.0.0.0", "--port", 9000)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "http://page shows p4cnn; Ctrl-C stops it\n"
    assert (launched["server_name"], launched["server_port"]) == ("0.0.0.0", 9000)
    (rules,) = launched["app_kwargs"]["middleware"]
    assert rules.kwargs == {"listening_on": "0.0.0.0"}


def test_without_networks_there_is_nothing_to_show(agconv, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_cards, "FOLDER", tmp_path)
    result = agconv("demo")
    assert result.exit_code == 1
    assert "there is no network to show" in result.stderr


def test_networks_for_other_shapes_are_refused(run, tmp_path):
    trained = load_weights(run / "checkpoints" / "last.safetensors")
    save_weights(tmp_path / "wide.safetensors", trained.module, replace(trained.card, image_shape=(1, 28, 40)))
    with pytest.raises(ConfigError, match="the page needs square ones"):
        networks([tmp_path / "wide.safetensors"], None, None)
