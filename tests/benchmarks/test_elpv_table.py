"""The table of the runs on ELPV, from small files."""

import json

import pytest

import elpv_table


def test_a_row_and_a_confusion_matrix_for_every_run(tmp_path):
    for name, changed in (
        ("vgg6-0", {"0": 3, "90": 0, "180": 41, "270": 5}),
        ("p4m_vgg6-1", dict.fromkeys("0", 0)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        network, _, seed = name.rpartition("-")
        result = {"model": network, "parameters": 117128, "seed": int(seed), "seconds_per_epoch": 35.2}
        figures = {
            "images": 656,
            "accuracy": 0.89,
            "classes": [{"recall": 0.9, "auc": 0.9}, {"recall": 0.75, "auc": 0.95}],
            "confusion": [[400, 51], [50, 155]],
            "changed_by_rotation": {"90": 0, "180": 0, "270": 0},
            "changed_by_mirroring": changed,
        }
        (folder / "result.json").write_text(json.dumps(result))
        (folder / "config.yaml").write_text(f"epochs: 40\nseed: {seed}\nmodel:\n  name: {network}\n")
        (folder / "evaluation.json").write_text(json.dumps(figures))
    lines = elpv_table.table(tmp_path).splitlines()
    assert lines[2] == "| `vgg6` | 117,128 | 0 | 89.0 | 75.0 | 0.950 | up to 41 of 656 | 35 |"
    assert lines[3] == "| `p4m_vgg6` | 117,128 | 1 | 89.0 | 75.0 | 0.950 | none | 35 |"
    assert lines[7:] == ["| `vgg6` | 0 | 400 | 51 | 155 | 50 |", "| `p4m_vgg6` | 1 | 400 | 51 | 155 | 50 |"]
    (tmp_path / "p4m_vgg6-1" / "config.yaml").write_text("epochs: 41\nseed: 1\nmodel:\n  name: p4m_vgg6\n")
    with pytest.raises(ValueError, match="epochs is 41 in p4m_vgg6-1 and 40 in vgg6-0: they do not belong"):
        elpv_table.table(tmp_path)
