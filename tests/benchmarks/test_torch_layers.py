"""The table of PyTorch's layers: measured anew, and the page shows what the file of results holds."""

import json
from pathlib import Path

import pytest

from page_block import filled
from torch_layers import OURS, TORCH, measure, table

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "torch-layers.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "reference" / "torch-layers.md").read_text(encoding="utf-8")


def test_the_page_shows_the_figures_of_the_file():
    assert filled(PAGE, "torch-layers", table(RESULTS["rows"])) == PAGE


def test_no_figure_comes_from_a_changed_library():
    assert not str(RESULTS["environment"]["git_revision"]).endswith("-dirty")


def test_the_verdicts_hold_here_too():
    rows = measure()
    assert {row["layer"]: row["equivariant"] for row in rows} == {
        row["layer"]: row["equivariant"] for row in RESULTS["rows"]
    }
    assert len(rows) == len(TORCH) + len(OURS)
    for row in rows:
        errors = [1.0 if error is None else error for error in row["errors"].values()]
        assert max(errors) < 1e-14 if row["equivariant"] else max(errors) > 0.01


@pytest.mark.parametrize("name", ["GroupNorm(2, C)", "InstanceNorm3d(C)", "PReLU(C)", "Conv3d(C, O, 1)"])
def test_what_users_ask_for_first_is_in_the_table(name):
    assert f"| `{name}` |" in PAGE
