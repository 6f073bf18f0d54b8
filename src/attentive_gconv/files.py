"""Atomic writes: a file is complete, or the old one is untouched, also after a crash or a power failure."""

import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# what a partial file's name holds beside the target; only a killed process leaves one behind
PARTIAL = ".partial"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an error.

    For libraries that write to a path of their own; `write_atomically` takes bytes. The temporary name has the target's
    ending and is random, so that several processes can write the same target: the last one wins. The file is synced
    before it is renamed, the folder afterwards. Missing folders are made; a symbolic link is followed.

    Args:
        path: the target.

    Raises:
        OSError: if the file cannot be written, or ``path`` is a folder, a device or a pipe.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_path(Path(folder) / "a.txt") as partial:
        ...         _ = partial.write_text("whole")
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise OSError(f"cannot write {path}: it is there and is not a regular file; give another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{secrets.token_hex(8)}{PARTIAL}{target.suffix}")
    try:
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(target.parent)


def is_partial(path: Path) -> bool:
    """Whether a file is the partial one of an atomic write that was killed, or is still going on."""
    return path.name.startswith(".") and PARTIAL in path.suffixes


def remove_partials(folder: Path) -> None:
    """Remove the partial files in a folder in which no other process writes."""
    for path in folder.glob(f".*{PARTIAL}*"):
        if is_partial(path):
            path.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write bytes to a file with an atomic write, see `atomic_path`."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as indented JSON with an atomic write."""
    write_atomically(path, (json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode())


def expand_user(path: str | Path) -> Path:
    """Expand ``~`` and ``~user`` in a path.

    Raises:
        ValueError: if there is no such user, or the user has no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: {Path(path).parts[0]} is nobody's home folder here; give the full path") from error


def _sync_folder(folder: Path) -> None:
    """Sync a folder after a rename; Windows cannot, nor can some network file systems."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
