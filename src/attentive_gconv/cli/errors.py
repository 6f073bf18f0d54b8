"""Expected errors as one line on stderr; tracebacks with --debug."""

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

# what the library raises for bad input, and Python for files and memory; anything else is a bug and shows its traceback
EXPECTED = (ValueError, OSError, ImportError, MemoryError)

_debug = False


def debug_errors(wanted: bool) -> None:
    """Show tracebacks of expected errors, as the environment variable AGCONV_DEBUG does."""
    global _debug
    _debug = wanted or bool(os.environ.get("AGCONV_DEBUG"))


class OneLineErrors(TyperGroup):
    """A group of commands whose expected errors end the program with status 1 and one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # the reader of our output has left, e.g. `| head`; Typer ends quietly
            raise
        except Exception as error:
            if _debug or not _is_expected(error):
                raise
            hint = "" if _is_ours(error) else f" ({type(error).__name__}; agconv --debug ... shows where)"
            print(f"agconv: {_message(error)}{hint}", file=sys.stderr)
            raise typer.Exit(1) from error


def _is_expected(error: Exception) -> bool:
    # the errors of other subpackages, without importing these: the class's own name says enough
    named = {"DatasetError", "TrainingError", "OutOfMemoryError"}
    return isinstance(error, EXPECTED) or bool(named & {cls.__name__ for cls in type(error).__mro__})


def _is_ours(error: Exception) -> bool:
    """Whether the library itself raised it, with a message that needs no traceback."""
    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(raised_in).is_relative_to(Path(__file__).parents[1])


def _message(error: Exception) -> str:
    if type(error).__name__ == "OutOfMemoryError":
        return f"the device's memory is full: take a smaller --batch-size ({str(error).splitlines()[0]})"
    if isinstance(error, UnicodeEncodeError):
        shown = error.object[max(0, error.start - 80) : error.end + 40]
        return f"the name in {shown!r} is no UTF-8 and cannot be written: rename that file or folder"
    if isinstance(error, MemoryError):
        return "the memory is full: take a smaller --batch-size"
    return " ".join(str(error).split()) or type(error).__name__
