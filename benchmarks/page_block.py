"""Generated tables in pages: between ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``."""

import re
from pathlib import Path

from attentive_gconv.files import write_atomically

BLOCKS = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def filled(text: str, name: str, content: str) -> str:
    """The page with the block of that name filled.

    Raises:
        ValueError: if the page has no such block, or several.

    Example:
        >>> print(filled("<!-- figures: a -->\\nold\\n<!-- end of figures -->", "a", "new\\n"))
        <!-- figures: a -->
        new
        <!-- end of figures -->
    """
    found = [match for match in BLOCKS.finditer(text) if match[2] == name]
    if len(found) != 1:
        raise ValueError(f"the page has {len(found)} blocks <!-- figures: {name} -->, where one is needed")
    return text[: found[0].end(1)] + content + text[found[0].start(3) :]


def fill_page(page: Path, name: str, content: str) -> None:
    """Fill the block of that name in a file."""
    write_atomically(page, filled(page.read_text(encoding="utf-8"), name, content).encode())
