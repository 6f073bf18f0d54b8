"""Compiled kernels kept on disk, so that the next process need not compile them.

Numba's own cache of a function knows one source file, that of the function, and trusts what it reads. Here the key is
everything that machine code depends on:

    sources      of all of `attentive_gconv.functional.fast`: kernels inline functions of other files
    compiler     versions of Python, Numba and llvmlite
    settings     of Numba that change the code, such as NUMBA_OPT
    processor    name and features
    signature    types of the arguments

One file a key, written atomically, with a checksum: a damaged file is compiled again, a folder that cannot be written
is done without. Files hold code: one of another user (but root), or that every user can write, is not read. Each is
said once, as a warning. Files of other sources or compilers that nobody has read for a month are removed when a new one
is written.

Folders, the first that can be written: ``NUMBA_CACHE_DIR``, ``__pycache__`` beside the kernels, ``numba`` in the user's
cache folder.
"""

import contextlib
import hashlib
import logging
import os
import pickle
import re
import stat
import sys
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from attentive_gconv.files import write_atomically

_LOG = logging.getLogger("attentive_gconv")
SOURCES = Path(__file__).parents[1]
DAY, KEPT_DAYS = 24 * 60 * 60, 30
_DIGEST = hashlib.sha256
_SETTINGS = ("OPT", "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "USING_SVML")
_FILE = re.compile(r".+\.([0-9a-f]{16})\.[0-9a-f]{40}\.kernel")


@cache
def toolchain_digest(sources: Path = SOURCES) -> str:
    """Digest of the kernels' sources and of what compiles them; empty if there are no sources to read."""
    digest = _DIGEST(repr((sys.version, numba.__version__, llvmlite.__version__)).encode())
    files = sorted(sources.rglob("*.py"))
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(sources).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest() if files else ""


@cache
def cache_folder() -> Path | None:
    """The first folder that can be written; None, with a warning, if there is none."""
    candidates = [Path(config.CACHE_DIR).absolute()] if config.CACHE_DIR else []
    candidates += [SOURCES / "__pycache__", Path(AppDirs(appname="numba", appauthor=False).user_cache_dir)]
    for folder in candidates:
        if not folder.is_absolute():  # a user without a home
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    _say_that_nothing_is_kept(f"none of {', '.join(map(str, candidates))} can be written")
    return None


class KernelCache(NullCache):
    """Numba's interface of a function's cache.

    Args:
        function: the kernel; no closure, whose cells would be part of the key.
    """

    def __init__(self, function: Any) -> None:
        assert function.__closure__ is None, f"{function.__qualname__} is a closure"
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self.module = function.__module__
        toolchain_digest()  # of the sources as they are imported, not as they may be at the first call

    @property
    def cache_path(self) -> str | None:
        """The folder, as Numba's statistics show it."""
        folder = cache_folder()
        return None if folder is None else str(folder)

    def path(self, signature: Any, codegen: Any) -> Path | None:
        """The file for a signature on this processor; None if nothing is kept."""
        folder, toolchain = cache_folder(), toolchain_digest()
        if folder is None or not toolchain:
            return None
        settings = [str(getattr(config, name, None)) for name in _SETTINGS]
        key = (toolchain, self.module, self.name, str(signature), codegen.magic_tuple(), settings)
        return folder / f"{self.name}.{toolchain[:16]}.{_DIGEST(repr(key).encode()).hexdigest()[:40]}.kernel"

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The compiled function, if it is on disk; else None."""
        target_context.refresh()
        path = self.path(signature, target_context.codegen())
        try:
            content = None if path is None else _read_own(path)
        except OSError:
            content = None
        if path is None or content is None:
            _say_that_kernels_are_compiled(cache_folder())
            return None
        checksum, body = content[: _DIGEST().digest_size], content[_DIGEST().digest_size :]
        if _checksum(path, body) != checksum:
            _say_that_a_file_is_damaged(path)
            return None
        _mark_as_read(path)
        return CompileResult._rebuild(target_context, *pickle.loads(body))

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Write a compiled function to disk, if that is possible."""
        path = self.path(signature, compiled.codegen)
        if path is None or compiled.library.has_dynamic_globals:
            return
        body = dumps(compiled._reduce())
        try:
            write_atomically(path, _checksum(path, body) + body)
        except OSError as error:
            _say_that_nothing_is_kept(str(error))
        else:
            remove_stale_files(path.parent, toolchain_digest())


def _checksum(path: Path, body: bytes) -> bytes:
    """Of a file under its name, which holds the key."""
    return _DIGEST(path.name.encode() + body).digest()


def _read_own(path: Path) -> bytes | None:
    """The content of a file of this user or root that not everybody can write; else None, with a warning."""
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        status = os.fstat(file.fileno())
        if hasattr(os, "geteuid") and (status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH):
            _say_that_a_file_is_foreign(path)
            return None
        return file.read()


def _mark_as_read(path: Path) -> None:
    """Set the time of a file that is read, at most once a day."""
    with contextlib.suppress(OSError):  # a folder that is only read
        if time.time() - path.stat().st_mtime > DAY:
            os.utime(path)


@cache
def remove_stale_files(folder: Path, toolchain: str) -> None:
    """Once for a folder: remove kernels of other sources or compilers that have not been read for a month."""
    for path in folder.glob("*.kernel"):
        found = _FILE.fullmatch(path.name)  # the folder may hold files of others
        with contextlib.suppress(OSError):  # another process may be first
            old = found is not None and time.time() - path.stat().st_mtime > KEPT_DAYS * DAY
            if old and found is not None and found[1] != toolchain[:16]:
                path.unlink()


@cache
def _say_that_kernels_are_compiled(folder: Path | None) -> None:
    """Once: the first calls of kernels take long, and nothing else says why."""
    kept = "every process compiles them again" if folder is None else f"they are kept in {folder}"
    _LOG.warning("compiling CPU kernels with Numba: the first calls take up to a minute in all; %s", kept)


@cache
def _say_that_nothing_is_kept(reason: str) -> None:
    """Once for a reason."""
    warnings.warn(
        f"compiled kernels are not kept on disk, every process compiles them again: {reason}; "
        "set NUMBA_CACHE_DIR to a folder with room that can be written",
        RuntimeWarning,
        stacklevel=2,
    )


@cache
def _say_that_a_file_is_damaged(path: Path) -> None:
    """Once for a file."""
    warnings.warn(f"{path} is damaged; the kernel in it is compiled again", RuntimeWarning, stacklevel=2)


@cache
def _say_that_a_file_is_foreign(path: Path) -> None:
    """Once for a file."""
    warnings.warn(
        f"{path} belongs to another user, or everybody can write it: the kernel in it is not run, but compiled again; "
        "set NUMBA_CACHE_DIR to a folder of your own",
        RuntimeWarning,
        stacklevel=2,
    )
