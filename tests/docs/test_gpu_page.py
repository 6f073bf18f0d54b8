"""The tables of docs/gpu.md are those of the runs on a GPU."""

import json

import pytest

import gpu_page
from page_block import BLOCKS, filled


def test_the_page_has_the_tables_of_the_files():
    text = gpu_page.PAGE.read_text(encoding="utf-8")
    assert sorted(match[2] for match in BLOCKS.finditer(text)) == sorted(gpu_page.TABLES)
    for name in gpu_page.TABLES:
        assert filled(text, name, gpu_page.content(name)) == text


def test_the_last_run_found_nothing_wrong():
    assert all(row["passed"] for row in gpu_page.read_runs()[-1]["values"])


def test_what_a_run_did_not_measure_is_a_dash(tmp_path):
    report = json.loads(next(gpu_page.RUNS.glob("*.json")).read_text(encoding="utf-8"))
    for row in report["networks"]:
        row["train"] = "not measured: the time was up"
    (tmp_path / "run.json").write_text(json.dumps(report))
    first = list(gpu_page.networks(gpu_page.read_runs(tmp_path)))[2]
    assert first.startswith("| `p4cnn` | fp32 | – | 1 | – | ")


@pytest.mark.parametrize("name", ["networks", "layers"])
def test_rows_have_as_many_cells_as_the_heading(name):
    lines = [line for line in gpu_page.content(name).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
