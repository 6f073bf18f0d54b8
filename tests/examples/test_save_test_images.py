import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attentive_gconv.checkpoints import ModelCard
from attentive_gconv.data import load_dataset
from attentive_gconv.inference import read_image

SCRIPT = Path(__file__).parents[2] / "examples" / "save_test_images.py"


def test_the_files_give_back_the_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["save_test_images", "digits", "--count", "3", "--out", str(tmp_path)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    splits = load_dataset("digits")
    card = ModelCard.of(splits, seed=0, model="p4cnn", options={})
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert len(paths) == 3
    for index, path in enumerate(paths):
        image, label = splits.test[index]
        assert path.name == f"{index:03}-is-{label}.png"
        # 8-bit files: half a step of grey at most
        torch.testing.assert_close(read_image(path, card), image, atol=0.51 / 255 / splits.std[0], rtol=0)


def test_files_of_a_transposed_dataset_are_upright(tmp_path):
    script = runpy.run_path(str(SCRIPT))
    splits = load_dataset("digits")
    (plain,) = script["save"](splits, 1, tmp_path / "plain")
    (upright,) = script["save"](replace(splits, transposed=True), 1, tmp_path / "transposed")
    card = ModelCard.of(splits, seed=0, model="p4cnn", options={})
    assert torch.equal(read_image(upright, card), read_image(plain, card).mT)
    assert torch.equal(read_image(upright, replace(card, transposed=True)), read_image(plain, card))


def test_a_count_without_images_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["save_test_images", "digits", "--count", "0"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "--count (=0) must be at least 1" in capsys.readouterr().err
