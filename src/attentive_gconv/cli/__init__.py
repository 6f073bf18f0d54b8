"""The command line `agconv`: one file a command."""

import io
import sys


def main() -> None:
    """Run the command line."""
    try:
        from attentive_gconv.cli.app import app
    except ImportError as error:
        sys.exit(f"agconv: {error}; the command line needs: pip install 'attentive-gconv[train]'")
    for stream in (sys.stdout, sys.stderr):
        # file names that are no UTF-8 are printed as the bytes that they are
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="surrogateescape")
    app()
