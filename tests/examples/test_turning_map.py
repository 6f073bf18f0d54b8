import runpy
import sys
from pathlib import Path

import torch
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "turning_map.py"


def test_the_map_turns_with_the_digit():
    script = runpy.run_path(str(SCRIPT))
    digit = script["digit"]("5")
    straight, turned = script["kept"](torch.stack([digit, torch.rot90(digit, 1, (-2, -1))]))
    assert straight.std() > 0.05
    torch.testing.assert_close(turned, torch.rot90(straight, 1, (-2, -1)), atol=1e-5, rtol=0)


def test_it_draws_a_gif(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["turning_map", "--out", str(tmp_path / "turning.gif")])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    with Image.open(tmp_path / "turning.gif") as gif:
        assert gif.n_frames == 48
