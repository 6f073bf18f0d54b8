"""The figures of docs/results.md are those of the files in benchmarks/results."""

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

import attentive_gconv as ag
import other_digits
import rot_mnist_table
from page_block import filled

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
DOCS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


def figures(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text(encoding="utf-8"))


def cells(first: str) -> list[str]:
    """The row of a table whose first cell starts so."""
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {first}")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def scientific(value: float) -> str:
    return f"{value:.1e}" if value else "0"


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_every_file_is_linked(path):
    assert any(f"../benchmarks/results/{path.name})" in page for page in DOCS)


PUBLISHED = [
    path for kind in ("json", "yaml", "csv", "md") for path in (ROOT / "benchmarks/results").rglob(f"*.{kind}")
]


def test_no_file_names_a_folder_of_a_machine():
    assert len(PUBLISHED) > 30
    named = re.compile(r'["\s]/[a-z]|/(home|root|tmp|work)/|["\s=]\.\./(?!\.\./(docs|src)/)')
    found = {path.name: named.search(path.read_text(encoding="utf-8")) for path in PUBLISHED if path.suffix != ".md"}
    assert {name: match[0] for name, match in found.items() if match} == {}


@pytest.mark.parametrize(("tests", "row"), figures("exactness.json")["equivariance_float64"].items())
def test_equivariance(tests, row):
    if tests in ("tests/functional/test_theorem.py", "tests/nn/attention/test_violations.py"):
        return  # their subject is what breaks it
    _, checks, largest = cells(f"`{tests}`")
    assert (checks, largest) == (str(row["checks"]), scientific(row["largest_relative_error"]))


@pytest.mark.parametrize("name", ["z2cnn", "p4cnn", "alpha_f_p4cnn", "alpha_p4cnn"])
def test_deviations_of_the_checkpoints(name):
    recorded = figures("exactness.json")["recorded_deviations"]
    row = recorded[f"test_released_networks_give_the_authors_numbers[{name}]"]
    table = PAGE[PAGE.index("| checkpoint | logits") :]
    (line,) = re.findall(rf"^\| `{name}` \|(.*)\|$", table[: table.index("\n\n")], re.MULTILINE)
    assert [cell.strip() for cell in line.split("|")] == [scientific(row[key]) for key in ("logits", "c1", "c2", "c7")]


@pytest.mark.parametrize(("name", "row"), figures("checkpoints-rot-mnist.json")["checkpoints"].items())
def test_errors_of_the_checkpoints(name, row):
    assert (row["model"], row["dataset_source"], row["images"]) == (name, "remade", 20_000)
    assert cells(f"{name} |")[1] == f"{100 * row['error']:.3f}"


@pytest.mark.parametrize("run", figures("rot-mnist-10-epochs.json")["runs"], ids=lambda run: run["model"])
def test_ten_epochs(run):
    assert cells(f"{run['model']} after 10 epochs")[1:] == [
        f"{run['parameters']:,}",
        f"{100 * run['valid_error']:.2f}",
        f"{100 * run['test_error']:.2f}",
        str(run["best_epoch"]),
        f"{statistics.median(run['seconds_per_epoch']):.1f}",
    ]
    assert run["test_images"] == 50_000
    assert set(run["changed_by_rotation"].values()) == {0}


def test_the_weights_of_the_package():
    shipped = figures("shipped-rot-mnist.json")["shipped"]
    authors = figures("checkpoints-rot-mnist.json")["checkpoints"]
    assert sorted(f"{name}.rot_mnist" for name in shipped) == ag.list_pretrained()
    for name, evaluated in shipped.items():
        card = ag.checkpoints.pretrained_card(name)
        assert (evaluated["dataset_source"], evaluated["images"], evaluated["parameters"]) == (
            *("remade", 20_000),
            card["parameters"],
        )
        protocol, *errors = cells(f"{name}, shipped")[1:5]
        assert (card["protocol"], card["test_images"]) == (protocol, 50_000)
        wanted = [card["test_error"], evaluated["error"], *([authors[name]["error"]] if name in authors else [])]
        assert [float(error) for error in errors if error != "–"] == pytest.approx(
            [100 * value for value in wanted], abs=0.0051
        )
        assert f"{100 * card['test_error']:.2f} % ({name})" in re.sub(r"\s+", " ", README)


def test_the_table_of_other_digits():
    report = figures("other-digits.json")
    assert filled(PAGE, "other-digits", other_digits.table(report)) == PAGE
    shipped = {row["network"]: row for row in report["networks"] if "/" not in row["network"]}
    assert sorted(f"{name}.rot_mnist" for name in shipped) == ag.list_pretrained()
    found, stored = other_digits.accuracy("alpha_f_p4cnn"), shipped["alpha_f_p4cnn"]
    # rounding depends on the processor, and may change the class of an image or two
    assert found == {**stored, "accuracy": pytest.approx(stored["accuracy"], abs=2.5 / stored["images"])}


def test_the_tables_of_rotated_mnist():
    assert rot_mnist_table.page(PAGE) == PAGE
    text = rot_mnist_table.README.read_text(encoding="utf-8")
    assert rot_mnist_table.readme(text) == text
    for group in rot_mnist_table.GROUPS:
        for run in group.runs:
            error = json.loads((run / "result.json").read_text(encoding="utf-8"))["test_error"]
            last = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()[-1].split(",")
            assert f"| {run.name} | {100 * error:.3f} | {100 * float(last[2]):.2f} |" in text


@pytest.mark.parametrize("run", figures("cifar10-jpeg-one-epoch.json")["runs"], ids=lambda run: run["model"])
def test_one_epoch_of_jpegs(run):
    assert cells(f"{run['model']} after one epoch")[1:] == [
        f"{run['parameters']:,}",
        f"{100 * run['test_error']:.2f}",
        f"{run['seconds_per_epoch']:.0f}",
    ]


@pytest.mark.parametrize("row", figures("attention-digits.json")["rows"], ids=lambda row: row["name"])
def test_earlier_attention(row):
    assert len(row["test_errors"]) == 3
    assert cells(f"{row['label']} |")[1:] == [
        f"{row['mean']:.2f} ± {row['std']:.2f}",
        f"{row['parameters']:,}",
        f"{row['seconds_per_epoch']:.2f}",
    ]
