"""The lock of a run folder: one training process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from attentive_gconv.checkpoints.run_files import LOCK, RunFolderError
from attentive_gconv.files import remove_partials


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a run folder for this process, and remove temporary files that killed processes have left in it.

    The operating system releases the lock when the process ends, however it ends.

    Raises:
        RunFolderError: if another process holds the lock, or the folder cannot be locked.
    """
    path = folder / LOCK
    if path.is_symlink():  # earlier versions of filelock would empty the file that it points to
        raise RunFolderError(f"{path} is a symbolic link, which no run has: remove it")
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except NotImplementedError as error:
        raise RunFolderError(f"the file system of {folder} has no locks ({error}): give --out on another") from error
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
