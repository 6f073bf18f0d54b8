"""Fine-tuning as the guide shows it, in ten lines of Python and in one command, on a small folder of images."""

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from attentive_gconv.cli.app import app
from attentive_gconv.training import RunFolder
from docs.run_page import blocks
from noise_images import write_images

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guides" / "transfer-learning.md").read_text(encoding="utf-8")


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.setenv("AGCONV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    counts = {"train": {"cat": 8, "dog": 8}, "test": {"cat": 2, "dog": 2}}
    return write_images(tmp_path / "images", counts, size=(32, 30))


@pytest.mark.slow
def test_in_ten_lines_of_python(images, monkeypatch, capsys):
    (script,) = [block for block in blocks(PAGE) if block.title == "fine_tune.py"]
    lines = script.code.strip().splitlines()
    assert len([line for line in lines if not line.startswith(("import ", "from ")) and line]) == 10
    monkeypatch.setattr(sys, "argv", ["fine_tune.py", str(images)])
    exec(compile(script.code, "fine_tune.py", "exec"), {})
    assert re.fullmatch(r"error on the test images: \d+\.\d%\n", capsys.readouterr().out)


def test_in_one_command(images):
    (command,) = re.findall(r"^\$ agconv (train image-folder .*--init .*)$", PAGE, re.MULTILINE)
    words = command.replace("--epochs 5", "--epochs 1").split()
    done = CliRunner().invoke(app, [*words, "--accelerator", "cpu", "--workers", "0"])
    assert done.exit_code == 0, done.stderr
    assert "alpha_f_p4cnn: kept 54 of 58 tensors; adapted: c1.weight; newly initialised: " in done.stdout
    config = RunFolder(Path("runs/fine")).read_config()
    assert (config.init, config.model.name, config.dataset.image_size) == ("alpha_f_p4cnn", "alpha_f_p4cnn", 28)
    evaluated = CliRunner().invoke(app, ["evaluate", "runs/fine", "--json", "--device", "cpu"])
    assert json.loads(evaluated.stdout)["images"] == 4
