"""A run that is told to stop: it ends with the status that says so, and prints how to resume it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from attentive_gconv.training.run_folder import RunFolder

INTERRUPTED = 128 + signal.SIGINT


@contextmanager
def stoppable(folder: RunFolder, console: Console) -> Iterator[None]:
    """Within, SIGTERM ends the process with status 143 and Ctrl-C with status 130, both with a line on how to resume.

    A handler of SIGTERM that the caller has installed stays. Both signals are handled afterwards as they were before.

    Raises:
        SystemExit: where the run is stopped.
    """
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    before = signal.getsignal(signal.SIGINT)
    if ours:
        signal.signal(signal.SIGTERM, _end)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning makes status 1 of Ctrl-C
        by_hand = isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt)
        console.print(f"{'interrupted' if by_hand else 'stopped'}; {folder.how_to_continue()}", highlight=False)
        raise SystemExit(INTERRUPTED if by_hand else getattr(stop, "code", None)) from stop
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # Lightning leaves Ctrl-C ignored
            signal.signal(signal.SIGINT, before)


def _end(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)
