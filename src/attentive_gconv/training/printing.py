"""Printing to the caller's console."""

from rich.console import Console


def print_plain(console: Console, text: str) -> None:
    """Print text verbatim: rich's markup, emoji codes and line breaks would change names and paths.

    Example:
        >>> print_plain(Console(), "runs/[red]:cat:")
        runs/[red]:cat:
    """
    console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)
