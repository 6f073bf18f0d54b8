"""Expected errors as one line on stderr, with a traceback if --debug is given."""

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

# errors of the library for bad input, and of Python for files and memory; others are bugs and show their traceback
EXPECTED = (ValueError, OSError, ImportError, MemoryError)

_debug = False


def debug_errors(wanted: bool) -> None:
    """Show tracebacks of expected errors too, as the environment variable AGCONV_DEBUG does."""
    global _debug
    _debug = wanted or bool(os.environ.get("AGCONV_DEBUG"))


class OneLineErrors(TyperGroup):
    """A group of commands that turns expected errors into one line and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # the reader of the output has closed it, as `| head` does; Typer exits quietly
            raise
        except Exception as error:
            if _debug or not _is_expected(error):
                raise
            hint = "" if _is_ours(error) else f" ({type(error).__name__}; agconv --debug ... shows where)"
            print(f"agconv: {_message(error)}{hint}", file=sys.stderr)
            raise typer.Exit(1) from error


def _is_expected(error: Exception) -> bool:
    # by the names of the classes, because their modules are not imported by every command
    named = {"DatasetError", "TrainingError", "OutOfMemoryError"}
    by_name = bool(named & {cls.__name__ for cls in type(error).__mro__})
    return isinstance(error, EXPECTED) or by_name or _is_cpu_allocation(error)


def _is_cpu_allocation(error: Exception) -> bool:
    """Whether PyTorch could not allocate memory on the CPU, for which it has no error of its own."""
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _is_ours(error: Exception) -> bool:
    """Whether this library raised the error, so that its message needs no traceback."""
    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(raised_in).is_relative_to(Path(__file__).parents[1])


def _message(error: Exception) -> str:
    if type(error).__name__ == "OutOfMemoryError":
        return f"the device's memory is full: take a smaller --batch-size ({str(error).splitlines()[0]})"
    if isinstance(error, UnicodeEncodeError):
        shown = error.object[max(0, error.start - 80) : error.end + 40]
        return f"the name in {shown!r} is no UTF-8 and cannot be written: rename that file or folder"
    if isinstance(error, MemoryError) or _is_cpu_allocation(error):
        return "the memory is full: take a smaller --batch-size, or smaller images or networks"
    return " ".join(str(error).split()) or type(error).__name__
