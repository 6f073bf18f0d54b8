"""The command line `agconv`: one file a command."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from attentive_gconv.cli.app import app
    except ImportError as error:
        sys.exit(f"agconv: {error}; the command line needs: pip install 'attentive-gconv[train]'")
    app()
