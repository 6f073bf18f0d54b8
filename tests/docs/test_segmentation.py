"""The guide's table is what the files of results hold; the script runs, and its masks turn along."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

import attentive_gconv as ag

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "segmentation.py"
PAGE = (ROOT / "docs" / "guides" / "segmentation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("group", ["p4m", "z2"])
def test_the_table_shows_the_figures_of_the_files(group):
    result = json.loads((ROOT / "benchmarks" / "results" / f"segmentation-{group}.json").read_text(encoding="utf-8"))
    (line,) = re.findall(rf"^\| {group} \|.*$", PAGE, re.MULTILINE)
    scores = [f"{score:.2f}" for score in result["intersection_over_union"].values()]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        group,
        f"{result['parameters']:,}",
        f"{result['training_seconds']:.0f}",
        *scores,
        f"{result['equivariance_error_float64']:.1e}",
        f"{100 * result['changed_pixels_float64']:.2f} %",
    ]
    assert not str(result["environment"]["git_revision"]).endswith("-dirty")


@pytest.mark.slow
def test_the_script_trains_measures_and_draws(tmp_path, monkeypatch, capsys):
    options = ["--channels", "1", "--images", "16", "--test-images", "8", "--epochs", "1", "--attention", "none"]
    monkeypatch.setattr(sys, "argv", ["segmentation", "--out", str(tmp_path / "run"), *options])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "agg")
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "pixels that change 0.00%" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["changed_pixels_float64"] == 0
    assert result["equivariance_error_float64"] < 1e-12
    assert (tmp_path / "run" / "masks.png").stat().st_size > 10_000


def test_the_data_are_what_they_are_said_to_be():
    draw = runpy.run_path(str(SCRIPT))["draw"]
    images, masks = draw(20, seed=5)
    assert images.shape == (20, 1, 40, 40)
    assert set(masks.unique().tolist()) == {0, 1, 2, 3}
    assert all(2 <= len(mask.unique()) <= 4 for mask in masks)
    inside, outside = images[:, 0][masks > 0], images[:, 0][masks == 0]
    assert 0.9 < inside.mean() < 1.1
    assert abs(float(outside.mean())) < 0.1
    again, _ = draw(20, seed=5)
    assert torch.equal(images, again)
    assert ag.models.UNet("p4m", "none", channels=1)(images[:1]).shape == (1, 2, 40, 40)
