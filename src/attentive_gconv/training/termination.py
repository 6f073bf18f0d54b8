"""Interrupted runs: exit status by signal, and a line on how to resume."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from attentive_gconv.training.printing import print_plain
from attentive_gconv.training.run_folder import RunFolder

INTERRUPTED = 128 + signal.SIGINT


@contextmanager
def stoppable(folder: RunFolder, console: Console) -> Iterator[None]:
    """Within the block, SIGTERM exits with status 143 and Ctrl-C with status 130, both with a line on how to resume.

    A SIGTERM handler that the caller has installed is kept. Afterwards the previous handlers are restored.

    Raises:
        SystemExit: when the run is interrupted.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    ours = in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    before = signal.getsignal(signal.SIGINT)
    if ours:
        signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning turns Ctrl-C into status 1
        by_hand = isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)
        print_plain(console, f"{'interrupted' if by_hand else 'stopped'}; {folder.how_to_continue()}")
        raise SystemExit(INTERRUPTED if by_hand else getattr(stop, "code", None)) from stop
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if in_main_thread and before is not None:
            # Lightning leaves Ctrl-C ignored
            signal.signal(signal.SIGINT, before)


def _end(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)
