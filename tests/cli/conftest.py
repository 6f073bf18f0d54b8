from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from attentive_gconv.checkpoints import ModelCard, save_weights
from attentive_gconv.cli.app import app
from attentive_gconv.data import load_dataset
from networks import randomise_norms_
from tiny import RECIPE, tiny

__all__ = ["agconv", "run", "tiny", "untrained"]


@pytest.fixture
def agconv(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Calls the command line and gives its result: exit_code, stdout, stderr."""
    # tables are laid out for a terminal of this width
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERMINAL_WIDTH", "160")
    monkeypatch.delenv("AGCONV_DEBUG", raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def run(agconv: Callable, tiny: object, tmp_path: Path) -> Path:
    """The folder of a run of two epochs."""
    result = agconv("train", "--recipe", RECIPE, "--epochs", 2, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    return tmp_path / "run"


@pytest.fixture
def untrained(tiny: object, tmp_path: Path) -> Callable[..., Path]:
    """Makes a file of weights that nobody trained, of a network with two channels for images of the tiny dataset."""

    def make(model: str = "p4cnn", **card: Any) -> Path:
        found = replace(ModelCard.of(load_dataset("tiny"), seed=0, model=model, options={"channels": 2}), **card)
        network = randomise_norms_(found.build(), torch.randn(16, *found.image_shape))
        save_weights(tmp_path / f"{model}.safetensors", network, found)
        return tmp_path / f"{model}.safetensors"

    return make
