"""HDF5 arrays that any number of processes can read lazily."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.extras import import_extra
from attentive_gconv.data.sources import ImageSource


class HDF5Array:
    """A uint8 array in an HDF5 file, checked on construction; each process opens the file itself.

    Args:
        path: the file.
        name: the array's name in the file.
        shape: the expected shape.
        remedy: what to do about a damaged file, for the error message.

    Raises:
        DatasetError: if the file cannot be opened, or does not hold such an array.
    """

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], remedy: str) -> None:
        self.path = path
        self.name = name
        self.shape = shape
        self.remedy = remedy
        self._opened: Any = None
        self._process = 0
        # closed, because forked processes must not inherit an open file
        self._open().file.close()

    def __getstate__(self) -> dict[str, Any]:
        # an open file cannot be passed to another process
        return {**self.__dict__, "_opened": None, "_process": 0}

    def __getitem__(self, index: Any) -> np.ndarray:
        """Read a slice of the array.

        Raises:
            DatasetError: if that part of the file is damaged.
        """
        if self._process != os.getpid():
            self._opened, self._process = self._open(), os.getpid()
        try:
            return self._opened[index]
        except OSError as error:
            raise self._damaged(f"{self.name}[{index}] cannot be read: {error}") from error

    def _open(self) -> Any:
        h5py = import_extra("h5py", f"reading {self.path.name}", extra="pcam")
        try:
            # the file is only read, and locking fails on some network file systems
            file = h5py.File(self.path, "r", locking=False)
        except OSError as error:
            raise self._damaged(f"it cannot be opened: {error}") from error
        try:
            return self._checked(file, h5py)
        except DatasetError:
            file.close()
            raise
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            # what h5py raises on damaged headers
            file.close()
            raise self._damaged(f"its header is damaged: {error}") from error

    def _checked(self, file: Any, h5py: Any) -> Any:
        if self.name not in file:
            raise self._damaged(f"it holds {', '.join(map(repr, file)) or 'nothing'}, and no {self.name!r}")
        # a file may link to other files, which must not be read in its place
        array = file[self.name] if isinstance(file.get(self.name, getlink=True), h5py.HardLink) else None
        if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
            raise self._damaged(f"{self.name!r} is no array of the file's own")
        if array.dtype != np.uint8 or array.shape != self.shape:
            raise self._damaged(f"{self.name!r} has type {array.dtype} and shape {array.shape}, not uint8 {self.shape}")
        return array

    def _damaged(self, what: str) -> DatasetError:
        return DatasetError(f"{self.path} is not the expected file: {what}. {self.remedy}")


class HDF5Images(ImageSource):
    """Images in an HDF5 array ``(N, Y, X, C)``."""

    def __init__(self, array: HDF5Array) -> None:
        self.array = array

    def read(self, positions: Sequence[int]) -> Tensor:
        """Read the images with these indices."""
        pixels = np.stack([self.array[position] for position in positions])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
