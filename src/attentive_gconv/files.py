"""Atomic writes: after a crash or a power failure a file has either its new content or its old one."""

import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# part of the name of temporary files; only a killed process leaves one behind
PARTIAL = ".partial"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; the file there replaces ``path`` when the block ends without an error.

    For libraries that write to a path; `write_atomically` takes bytes. The temporary name is random and has the
    target's suffix, so that several processes can write the same target: the last one wins. The file is synced before
    it is renamed, the folder afterwards. Missing folders are created; symbolic links are followed.

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
        raise OSError(f"cannot write {path}: it exists and is not a regular file; give another name")
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
    """Whether a file is the temporary file of an atomic write, unfinished or killed."""
    return path.name.startswith(".") and PARTIAL in path.suffixes


def remove_partials(folder: Path) -> None:
    """Remove the temporary files in a folder that no other process writes to."""
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
        home = Path(path).parts[0]
        raise ValueError(f"{path}: {home} is not a home folder on this machine; give the full path") from error


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
