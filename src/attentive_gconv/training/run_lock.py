"""One process at a time in a run folder, and no leftovers of processes that were killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from attentive_gconv.checkpoints.run_files import LOCK, RunFolderError
from attentive_gconv.files import remove_partials


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for this process, and remove the partial files in it.

    The operating system lets go of the lock when the process ends, however it ends.

    Raises:
        RunFolderError: if another process holds it.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise RunFolderError(
            f"another process trains in {folder}: wait until it ends, or give another --out; nothing was changed"
        ) from error
    try:
        for place in (folder, folder / "checkpoints"):
            remove_partials(place)
        yield
    finally:
        lock.release()
