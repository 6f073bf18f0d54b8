"""The table of the runs on ELPV, from small files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import elpv_table
from page_block import filled

ROOT = Path(__file__).parents[2]


def test_a_row_and_a_confusion_matrix_for_every_run(tmp_path):
    for name, changed in (
        ("vgg6-0", {"0": 3, "90": 0, "180": 41, "270": 5}),
        ("p4m_vgg6-1", dict.fromkeys("0", 0)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        network, _, seed = name.rpartition("-")
        result = {"model": network, "parameters": 117128, "seed": int(seed)}
        figures = {
            "images": 656,
            "accuracy": 0.89,
            "classes": [{"recall": 0.9, "auc": 0.9}, {"recall": 0.75, "auc": 0.95}],
            "confusion": [[400, 51], [50, 155]],
            "changed_by_rotation": {"90": 0, "180": 0, "270": 0},
            "changed_by_mirroring": changed,
            "by_brightness": [
                {"defective": 90, "found": 80},
                {"defective": 60, "found": 50},
                {"defective": 55, "found": 25},
            ],
        }
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "config.yaml").write_text(f"epochs: 40\nseed: {seed}\nmodel:\n  name: {network}\n")
        (folder / "evaluation.json").write_text(json.dumps(figures))
    lines = elpv_table.table(tmp_path).splitlines()
    assert lines[2] == "| `vgg6` | 117,128 | 0 | 89.0 | 75.0 | 0.950 | up to 41 of 656 |"
    assert lines[3] == "| `p4m_vgg6` | 117,128 | 1 | 89.0 | 75.0 | 0.950 | none |"
    assert lines[7:9] == ["| `vgg6` | 0 | 400 | 51 | 155 | 50 |", "| `p4m_vgg6` | 1 | 400 | 51 | 155 | 50 |"]
    assert lines[12] == "| `vgg6` | 0 | 80 of 90 | 50 of 60 | 25 of 55 |"
    (tmp_path / "p4m_vgg6-1" / "config.yaml").write_text("epochs: 41\nseed: 1\nmodel:\n  name: p4m_vgg6\n")
    with pytest.raises(ValueError, match="epochs is 41 in p4m_vgg6-1 and 40 in vgg6-0: they do not belong"):
        elpv_table.table(tmp_path)
    config = "epochs: 40\nseed: 1\nmodel:\n  name: p4m_vgg6\n  standardize: true\n"
    (tmp_path / "p4m_vgg6-1" / "config.yaml").write_text(config)
    with pytest.raises(ValueError, match=r"model\.standardize is True in p4m_vgg6-1 and None in vgg6-0"):
        elpv_table.table(tmp_path)


def test_thirds_by_brightness():
    brightness, labels, predicted = np.arange(7)[::-1], np.array([1, 0, 1, 1, 0, 1, 1]), np.array([1, 1, 0, 1, 0, 1, 0])
    assert elpv_table.by_brightness(brightness, labels, predicted) == [
        {"images": 3, "defective": 2, "found": 1},
        {"images": 2, "defective": 2, "found": 1},
        {"images": 2, "defective": 1, "found": 1},
    ]


def test_the_page_and_the_trials_are_what_the_runs_say():
    page = (ROOT / "docs" / "guides" / "solar-cells.md").read_text(encoding="utf-8")
    assert filled(page, "elpv", elpv_table.table()) == page
    readme = (elpv_table.RUNS / "README.md").read_text(encoding="utf-8")
    assert filled(readme, "elpv-40-epochs", elpv_table.table(elpv_table.EARLIER)) == readme
    readme = readme.replace("**", "")
    trials = [path for path in elpv_table.RUNS.with_name("elpv-trials").iterdir() if path.is_dir()]
    assert len(trials) == 10
    names = ("valid_loss", "valid_error", "train_error", "seconds")
    for trial in trials:
        with (trial / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        if (trial / "result.json").is_file():
            loss, valid, trained, seconds = (float(rows[-1][name]) for name in names)
            row = f"| {trial.name} | {loss:.3f} | {100 * valid:.1f} | {100 * trained:.1f} | {seconds:.0f} |"
            assert row in readme
        else:
            last = rows[-10:]
            loss, valid, trained, _ = (sum(float(row[name]) for row in last) / 10 for name in names)
            (row,) = (line for line in readme.splitlines() if line.startswith(f"| {trial.name}: "))
            epochs = f"{last[0]['epoch']} to {last[-1]['epoch']}"
            assert row.endswith(f" | {epochs} | {loss:.3f} | {100 * valid:.1f} | {100 * trained:.1f} |")
