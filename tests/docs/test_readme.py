"""The README's figures are those of the pages that it links to, which are compared with the files of results."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
PERFORMANCE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def row(entry: str, network: str) -> list[str]:
    """The cells of a network in the generated table of an entry, without the quartiles."""
    block = PERFORMANCE.split(f"<!-- figures: {entry} -->")[1].split("<!-- end of figures -->")[0]
    (line,) = [line for line in block.splitlines() if line.startswith(f"| {network} |")]
    return [cell.split("(")[0].strip() for cell in line.strip("|").split("|")[1:]]


def test_time_of_a_training_step():
    assert f"takes {row('networks-128', 'alpha_f_p4cnn')[1]} times as long as one of p4cnn" in README
    assert f"at batch 128 ({row('networks-16', 'alpha_f_p4cnn')[1]} at batch 16)" in README
    full, small = (row(entry, "alpha_p4cnn")[1] for entry in ("networks-128", "networks-16"))
    assert f"one with full attention {full} times ({small})." in README


def test_time_of_a_group_convolution():
    assert f"A p4m convolution takes {row('layers-p4m', 'none | group')[2]} times as long as `conv2d`" in README


def test_memory_of_the_network_that_did_not_fit():
    assert f"in {row('allcnnc', 'alpha_p4_allcnnc')[2]} GiB, with activation checkpointing" in README
    assert f"in {row('allcnnc', 'alpha_p4_allcnnc (recompute)')[2]} GiB" in README


def test_largest_error_of_equivariance():
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    table = results[results.index("## Exactness") : results.index("The tests demand")]
    largest = max(float(value) for value in re.findall(r"(\d\.\de-\d+) \|$", table, re.MULTILINE))
    assert f"at most {largest:.1e}," in README
