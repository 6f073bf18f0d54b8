"""Consoles and tables that print text verbatim: rich's markup and emoji codes would change names and paths."""

from collections.abc import Container
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# width outside terminals: each row of a table is one line, and no cell is wrapped
WIDE = 10_000


def plain_console(*, stderr: bool = False, **options: Any) -> Console:
    """A console that prints text verbatim and does not wrap lines."""
    console = Console(stderr=stderr, soft_wrap=True, markup=False, emoji=False, highlight=False, **options)
    if not console.is_terminal:
        console.width = WIDE
    return console


def plain_table(*headings: str, numbers: Container[int] = (), lines: bool = False) -> "PlainTable":
    """A table of text.

    Args:
        headings: headings of the columns.
        numbers: indices of the columns that are aligned to the right.
        lines: whether to draw a frame.
    """
    table = PlainTable() if lines else PlainTable(box=None, pad_edge=False)
    for column, heading in enumerate(headings):
        table.add_column(Text(heading), justify="right" if column in numbers else "left", overflow="fold")
    return table


class PlainTable(Table):
    """A table whose cells are text, never markup."""

    def add_texts(self, *cells: str) -> None:
        """Add a row."""
        self.add_row(*map(Text, cells))
