from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attentive_gconv.cli.app import app
from tiny import RECIPE, tiny

__all__ = ["agconv", "run", "tiny"]


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
