"""Cache of derived arrays: parsed or generated datasets, stored losslessly in the user's cache folder.

A cache file's name holds a digest of everything that determines its content, so a stale file is never read. The content
is checked when it is read: names, shapes, dtypes, and the zip archive's checksum of each array. A damaged file is named
in the log and built again.
"""

import hashlib
import json
import logging
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attentive_gconv.data.extras import import_extra
from attentive_gconv.files import atomic_path, expand_user

logger = logging.getLogger(__name__)

# to be increased whenever the same inputs give other arrays or another file
_FORMAT = 1

# what zipfile and numpy raise on damaged files; RuntimeError on flags such as "encrypted", set by damage
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, OSError, RuntimeError)

Arrays = dict[str, np.ndarray]


def cache_dir() -> Path:
    """The cache folder: ``$AGCONV_CACHE_DIR``, else ``attentive_gconv`` in the user's cache folder.

    Raises:
        OSError: if the user has no home folder.
        ImportError: without platformdirs.
    """
    if chosen := os.environ.get("AGCONV_CACHE_DIR"):
        return expand_user(chosen)
    platformdirs = import_extra("platformdirs", "the cache folder")
    try:
        found: Path = platformdirs.user_cache_path("attentive_gconv", appauthor=False)
    except RuntimeError:  # platformdirs from 4.14 on; earlier ones return "~" as it is
        found = Path("~")
    if not found.is_absolute():
        raise OSError("the user has no home folder to keep files in: set AGCONV_CACHE_DIR to a folder")
    return found


@dataclass(frozen=True)
class CacheEntry:
    """A cache file and all that determines its content.

    Attributes:
        name: readable beginning of the file's name, e.g. ``"rot-mnist-remade-seed0"``.
        made_from: everything else that determines the content: digests of the sources, the seed, counts.
        layout: dtype and shape of each array.
    """

    name: str
    made_from: Mapping[str, object]
    layout: Mapping[str, tuple[str, tuple[int, ...]]]

    @property
    def path(self) -> Path:
        """Path of the cache file, whether it exists or not.

        Raises:
            OSError: if there is no cache folder.
        """
        key = {"format": _FORMAT, "name": self.name, "made_from": self.made_from, "layout": self.layout}
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return cache_dir() / "derived" / f"{self.name}-{digest[:16]}.npz"

    def existing_path(self) -> Path | None:
        """Path of the cache file; None if it does not exist or there is no cache folder."""
        try:
            return self.path if self.path.is_file() else None
        except OSError:
            return None


class _DamagedError(Exception):
    """A cache file does not hold what it should; raised and caught within this module."""


def load_or_build(entry: CacheEntry, build: Callable[[], Arrays]) -> tuple[Arrays, Path | None]:
    """Load arrays from the cache; build and store them if the file is missing or damaged.

    Args:
        entry: describes the file.
        build: builds the arrays; they must have the entry's layout.

    Returns:
        tuple: the arrays, and the file, or None if the cache folder is not writable.
    """
    path = entry.existing_path()
    if path is not None:
        try:
            return _read(path, entry.layout), path
        except (_DamagedError, *_ZIP_ERRORS) as error:
            logger.warning("%s is damaged (%s); it is built again", path, error)
    arrays = build()
    found = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    if found != dict(entry.layout):
        raise AssertionError(f"the arrays of {entry.name} are {found}, not {dict(entry.layout)} as declared")
    try:
        with atomic_path(entry.path) as partial:
            np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        logger.warning(
            "cannot cache %s (%s), so it will be built again next time: set AGCONV_CACHE_DIR to a writable folder",
            entry.name,
            error,
        )
        return arrays, None
    return arrays, entry.path


def _read(path: Path, layout: Mapping[str, tuple[str, tuple[int, ...]]]) -> Arrays:
    with zipfile.ZipFile(path) as archive:
        if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in layout):
            raise _DamagedError(f"it holds {archive.namelist()}")
        return {name: _read_array(archive, name, *layout[name]) for name in layout}


def _read_array(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    # np.load would trust the size that the file declares; this reads no more than is expected
    with archive.open(f"{name}.npy") as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise _DamagedError(f"the header of {name} is of another version")
        found_shape, by_columns, found_dtype = np.lib.format.read_array_header_1_0(member)
        if (found_shape, by_columns, found_dtype.str) != (shape, False, dtype):
            raise _DamagedError(f"{name} has shape {found_shape} and type {found_dtype}")
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        content = bytearray(member.read(size + 1))
    if len(content) != size:
        raise _DamagedError(f"{name} has {len(content)} bytes, not {size}")
    return np.frombuffer(content, dtype).reshape(shape)
