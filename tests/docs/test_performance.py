"""docs/performance.md shows what the files beside it hold, and nothing else; it has a place for every entry."""

import json
import re
from pathlib import Path

import pytest

from attentive_gconv.bench.suites import entries
from page_block import BLOCKS
from performance_page import MACHINE, WHERE_IT_LOSES, blocks, fill, read_folder

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
FOLDER = PAGE.with_suffix("")
TEXT = PAGE.read_text(encoding="utf-8")


def test_there_is_a_place_for_every_entry():
    assert sorted(match[2] for match in BLOCKS.finditer(TEXT)) == sorted([*entries(), MACHINE, WHERE_IT_LOSES])


def test_the_tables_are_those_of_the_files():
    assert fill(TEXT, blocks(read_folder(FOLDER), f"{FOLDER.name}/")) == TEXT


def test_an_unmeasured_entry_shows_no_figures():
    measured = {*read_folder(FOLDER), MACHINE, WHERE_IT_LOSES}
    assert not [match[2] for match in BLOCKS.finditer(TEXT) if match[2] not in measured and "|" in match[0]]


def test_images_and_files_that_the_page_links_to_are_there():
    targets = [target for target in re.findall(r"\]\(([^)#]+)", TEXT) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (PAGE.parent / target).is_file()] == []


def test_no_figure_comes_from_a_changed_library_or_names_a_folder_of_its_machine():
    for name, document in read_folder(FOLDER).items():
        assert not str(document["environment"]["git_revision"]).endswith("-dirty"), name
        assert not [part for part in document["environment"]["command"] if part.startswith("/")], name


ABLATION = json.loads((PAGE.parents[1] / "benchmarks" / "results" / "ablation.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", ABLATION["rows"], ids=lambda row: f"{row['work']}-{row['batch']}")
def test_what_hand_written_code_is_worth(row):
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| {row['work']}, {row['batch']} images |")]
    assert [cell.strip() for cell in line.strip("|").split("|")][1:] == [
        f"{1000 * row['seconds']['everything']['median']:.2f}",
        *(
            f"{ratio['median']:.2f} ({ratio['lower']:.2f}–{ratio['upper']:.2f})"
            for name, ratio in row["ratios"].items()
            if name != "everything"
        ),
    ]


FEW = json.loads((PAGE.parents[1] / "benchmarks" / "results" / "few-channels.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", FEW["rows"], ids=lambda row: row["name"])
def test_gradients_with_few_channels(row):
    assert not FEW["environment"]["git_revision"].endswith("-dirty")
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| {row['name']} |")]
    ratio = row["ratio"]
    assert [cell.strip() for cell in line.strip("|").split("|")][3:] == [
        row["form"],
        *(f"{1000 * row[seconds]['median']:.2f}" for seconds in ("library_seconds", "seconds")),
        f"{ratio['median']:.2f} ({ratio['lower']:.2f}–{ratio['upper']:.2f})",
    ]
