"""Generated tables are put between their marks and nowhere else."""

import pytest

from page_block import fill_page, filled

PAGE = (
    "before\n<!-- figures: a -->\nold\n<!-- end of figures -->\nbetween\n<!-- figures: b -->\n<!-- end of figures -->\n"
)


def test_the_block_of_that_name_alone_is_filled(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    fill_page(page, "a", "new\n")
    assert page.read_text() == PAGE.replace("old", "new")
    assert filled(filled(PAGE, "b", "2\n"), "b", "") == PAGE


@pytest.mark.parametrize(("page", "count"), [(PAGE, 0), (2 * PAGE.replace(": a", ": c"), 2)])
def test_a_block_that_is_not_there_once_is_an_error(page, count):
    with pytest.raises(ValueError, match=f"{count} blocks <!-- figures: c -->"):
        filled(page, "c", "new\n")
