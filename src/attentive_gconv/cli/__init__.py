"""The command line `agconv`: one file for each command."""

import io
import signal
import sys
import warnings
from types import FrameType


def main() -> None:
    """Run the command line."""
    try:
        from attentive_gconv.cli.app import app
    except ImportError as error:
        sys.exit(f"agconv: {error}; the command line needs: pip install 'attentive-gconv[train]'")
    for stream in (sys.stdout, sys.stderr):
        # file names that are not UTF-8 are printed as their bytes; other encodings lack characters such as ° and ±
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            utf8 = stream.encoding.lower().replace("-", "") == "utf8"
            stream.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")
    # a line of ours, or of a library, says nothing to who runs a command
    warnings.formatwarning = lambda message, category, *_: f"agconv: {message} ({category.__name__})\n"
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit)
    app()


def _exit(signum: int, frame: FrameType | None) -> None:
    """Exit so that temporary files are removed and child processes are stopped."""
    raise SystemExit(128 + signum)
