"""The table of exported networks, and its checks, at small size."""

import json
from pathlib import Path

import pytest
import torch

import attentive_gconv as ag
import export_checks
import export_table
from page_block import filled

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guides" / "export.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("script", "name"), [(export_table, "export"), (export_checks, "export-checks")])
def test_the_page_shows_what_the_file_holds(script, name):
    text = (ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8")
    assert filled(PAGE, name, script.table(json.loads(text))) == PAGE


def test_what_does_not_work_has_a_dash_and_its_reason():
    milliseconds = {"median": 12.34, "lower": 12.0, "upper": 13.0}
    figures = {"difference": 1e-6, "milliseconds": milliseconds, "peak_megabytes": 3.5, "file_bytes": 420_000}
    forms = {
        "eager": {**figures, "file_bytes": None},
        "onnx": figures,
        "aoti": {"reason": "no compiler"},
        "int8": {"reason": "no compiler"},
    }
    rows = export_table.table({"networks": {"p4cnn": forms}}).splitlines()
    assert rows[2:] == [
        "| p4cnn | 64 | eager |  | 12.3 (12.0–13.0) | 3.5 |  |",
        "|  |  | onnx | 1e-06 | 12.3 (12.0–13.0) | 3.5 | 0.42 |",
        "|  |  | aoti | – (1) | – | – | – |",
        "|  |  | int8 | – (1) | – | – | – |",
        "",
        "(1) no compiler",
    ]


def test_an_entry_that_fails_is_a_reason_and_not_an_error():
    assert "p4cn'" in export_table.entry("p4cn", "eager", rounds=1, limit=60)["reason"]


def test_differences_over_batches_and_poses_are_counted():
    def network(images: torch.Tensor) -> torch.Tensor:
        """Logits of the brightness of the upper and of the lower half: a half turn exchanges them."""
        return torch.stack([images[:, 0, :4].sum((1, 2)), images[:, 0, 4:].sum((1, 2))], 1)

    near = {"same": network, "other": lambda images: network(images) + torch.tensor([0.0, 100.0])}
    found = export_checks.equality(network, near, (1, 8, 8), batches=3)
    assert found["difference"] == {"same": 0, "other": 100}
    assert found["classes"]["same"] == 0 < found["classes"]["other"]
    images = torch.ones(3, 1, 8, 8)
    images[1, 0, :2] = 2
    figures = export_checks.over_poses(network, images, torch.tensor([0, 0, 1]), ag.group("p4"))
    assert figures["error"] == pytest.approx(1 / 3)
    assert figures["images_with_another_prediction"] == figures["images_with_other_logits"] == 1
