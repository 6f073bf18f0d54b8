"""The script of steps and memory: it measures a network, and keeps what it has measured."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "paper_networks.py"


def run(out: Path, *flags: str) -> str:
    command = [sys.executable, str(SCRIPT), "--batch-size", "2", "--out", str(out), *flags]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_figures_are_measured_and_kept(tmp_path):
    out = tmp_path / "figures.json"
    printed = run(out, "--models", "z2cnn", "--steps", "2")
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["model"], row["parameters"], row["batch_size"], row["steps"]) == ("z2cnn", 21_620, 2, 2)
    assert row["seconds"] > 0
    assert row["processor_seconds"] > 0
    # torch alone takes more than this, and two small images do not take more than that
    assert 5e7 < row["peak_bytes"] < 2e10
    assert row["environment"]["packages"]["torch"]
    assert "| `z2cnn` | 2 |" in printed
    before = out.read_bytes()
    run(out, "--models", "z2cnn")
    assert out.read_bytes() == before
