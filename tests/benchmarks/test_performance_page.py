import pytest

from attentive_gconv.bench import Case, Comparison, Measurement, Protocol
from attentive_gconv.bench.measured import Figure
from attentive_gconv.bench.suite_runner import run_entry
from attentive_gconv.bench.suites import Entry, entries
from attentive_gconv.environment import describe_environment
from growth import AXES
from in_process import in_process
from performance_page import blocks, fill, losses, read_folder, write_page

__all__ = ["in_process"]

QUICK = Protocol(repeats=2, warmup=1, min_seconds=0.0)
CASES = tuple(Case(name, "group", batch=batch, channels=2, side=7) for batch in (2, 4) for name in ("none", "full"))
ENTRY = Entry(
    "growth-batch",
    "Growth with the batch",
    (Comparison(CASES[:2], True), Comparison(CASES[2:], True)),
    (Measurement("train"), Measurement("memory")),
    QUICK,
    axis="batch",
)


@pytest.fixture
def measured(in_process, tmp_path):
    """A folder with one measured entry, and the jobs so far."""
    run_entry(ENTRY, tmp_path, describe_environment())
    return tmp_path, in_process


@pytest.mark.parametrize("axis", ["batch", "pixels"])
def test_growth_is_measured_over_a_factor_of_eight(axis):
    sizes = [
        AXES[axis](Figure(case, "train"))
        for entry in entries().values()
        if entry.axis == axis
        for comparison in entry.comparisons
        for case in comparison.cases
    ]
    assert max(sizes) / min(sizes) >= 8


def test_the_page_is_filled_between_its_marks_and_nowhere_else(measured):
    folder, _ = measured
    page = folder.parent / f"{folder.name}.md"
    page.write_text(
        "Before\n<!-- figures: growth-batch -->\nold\n<!-- end of figures -->\nbetween\n"
        "<!-- figures: layers-p4 -->\nkept\n<!-- end of figures -->\nafter\n"
    )
    written = {path.name for path in write_page(folder, page)}
    assert written == {"growth-batch.png", "tables.md", page.name}
    text = page.read_text()
    assert text.startswith("Before\n<!-- figures: growth-batch -->\n\n| layer | batch | step")
    assert text.endswith("\nbetween\n<!-- figures: layers-p4 -->\nkept\n<!-- end of figures -->\nafter\n")
    assert "old" not in text
    assert f"({folder.name}/growth-batch.png)" in text
    assert "full: time grows with exponent" in text
    write_page(folder, page)
    assert page.read_text() == text


def test_a_place_named_after_no_entry_is_an_error():
    with pytest.raises(ValueError, match="unknown figures 'growth-bach': did you mean 'growth-batch'"):
        fill("<!-- figures: growth-bach -->\n<!-- end of figures -->", {})


def test_a_page_that_could_not_link_to_the_files_is_refused(measured, tmp_path_factory):
    folder, _ = measured
    page = tmp_path_factory.mktemp("elsewhere") / "page.md"
    page.write_text("")
    with pytest.raises(ValueError, match="must be inside the folder of --page"):
        write_page(folder, page)


def test_losses_are_those_against_other_ways_of_computing_the_same(measured):
    folder, _ = measured
    document = read_folder(folder)["growth-batch"]
    assert losses({"growth-batch": document}) == "None in these measurements.\n"
    document["plan"]["rival"] = True
    for figure, ratio in zip(document["figures"], (None, 1.5, None, None, None, 0.5, None, None), strict=True):
        figure["ratio"] = ratio and {"lower": ratio, "median": ratio, "upper": ratio}
        figure["extra"] = None
    document["figures"][7]["extra"] = 3e6
    assert losses({"growth-batch": document}).splitlines() == [
        "- group layer, full at batch 2, 7 x 7, group p4: train takes 1.50 times as long as none",
        "- group layer, full at batch 4, 7 x 7, group p4: 3 MB more than none",
    ]
    # elsewhere only the same network in another form is a loss
    document["plan"]["rival"] = False
    document["figures"][1]["baseline"] = "full (expanded)"
    assert losses({"growth-batch": document}).splitlines() == [
        "- group layer, full at batch 2, 7 x 7, group p4: train takes 1.50 times as long as full (expanded)",
    ]
    assert "measured from" in blocks({"growth-batch": document})["machine"]
