"""MNIST's IDX files: download, verify and read.

An IDX file is big-endian: 0, 0, 8 (uint8), the number of dimensions, a 32-bit size for each dimension, the values.
"""

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.download import download
from attentive_gconv.data.extras import import_extra

CLASSES = tuple("0123456789")


@dataclass(frozen=True)
class IdxFile:
    """An IDX file: name, shape and checksums.

    Attributes:
        name: name without ``.gz``.
        shape: shape of the values.
        md5: checksum of the compressed file on the mirrors.
        sha256: checksum of the decompressed content, which decides: the same content can be compressed differently.
    """

    name: str
    shape: tuple[int, ...]
    md5: str
    sha256: str

    @property
    def header(self) -> bytes:
        """The file header: the bytes before the values."""
        return struct.pack(f">{1 + len(self.shape)}I", 0x0800 + len(self.shape), *self.shape)


@dataclass(frozen=True)
class MnistFiles:
    """The files of MNIST, images and labels of each part, and their mirrors.

    Attributes:
        parts: (images, labels) of each part, in the order in which they are pooled.
        mirrors: base URLs, to which the compressed names are appended; None for torchvision's.
    """

    parts: tuple[tuple[IdxFile, IdxFile], ...]
    mirrors: tuple[str, ...] | None = None

    def __iter__(self) -> Iterator[IdxFile]:
        for part in self.parts:
            yield from part

    def addresses(self, file: IdxFile) -> list[str]:
        """Download addresses of a file."""
        mirrors = self.mirrors
        if mirrors is None:
            mirrors = import_extra("torchvision.datasets", "the download of MNIST").MNIST.mirrors
        return [f"{mirror}{file.name}.gz" for mirror in mirrors]


MNIST = MnistFiles(
    parts=(
        (
            IdxFile(
                "train-images-idx3-ubyte",
                (60_000, 28, 28),
                md5="f68b3c2dcbeaaa9fbdd348bbdeb94873",
                sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            IdxFile(
                "train-labels-idx1-ubyte",
                (60_000,),
                md5="d53e105ee54ea40749a09fcbcd1e9432",
                sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
        ),
        (
            IdxFile(
                "t10k-images-idx3-ubyte",
                (10_000, 28, 28),
                md5="9fb629c4189551a2d022fa330f9573f3",
                sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            IdxFile(
                "t10k-labels-idx1-ubyte",
                (10_000,),
                md5="ec29112dd5afa0611ce80d1b7f02629c",
                sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
    )
)


def missing_files(folder: Path, files: MnistFiles) -> list[IdxFile]:
    """Files that the folder holds neither compressed nor decompressed."""
    return [file for file in files if not _path(folder, file).is_file()]


def pooled_digits(folder: Path, files: MnistFiles, *, may_download: bool) -> tuple[np.ndarray, np.ndarray]:
    """Read all images, uint8 ``(N, Y, X)``, and labels, uint8 ``(N,)``, of training and test set together.

    Raises:
        DatasetError: if a file is missing and may not or cannot be downloaded, or is not MNIST's.
    """
    missing = missing_files(folder, files)
    if missing and not may_download:
        names = ", ".join(f"{file.name}.gz" for file in missing)
        raise DatasetError(f"{folder} lacks {names}: put them there, or allow the download")
    for file in missing:
        target = folder / f"{file.name}.gz"
        download(files.addresses(file), target, file.md5, f"Try again later, or put {target.name} into {folder}.")
    images = [_read(folder, file) for file, _ in files.parts]
    labels = [_read(folder, file) for _, file in files.parts]
    return np.concatenate(images), np.concatenate(labels)


def _path(folder: Path, file: IdxFile) -> Path:
    plain = folder / file.name
    compressed = folder / f"{file.name}.gz"
    return plain if plain.is_file() and not compressed.is_file() else compressed


def _read(folder: Path, file: IdxFile) -> np.ndarray:
    path, header, size = _path(folder, file), file.header, len(file.header) + math.prod(file.shape)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            # reading one byte too many detects larger content; a small file can decompress to any size
            content = stream.read(size + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _not_as_expected(path, f"it cannot be decompressed: {error}") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    if content[: len(header)] != header:
        raise _not_as_expected(path, f"it begins with {_numbers(content[: len(header)])}, not {_numbers(header)}")
    if len(content) != size:
        found = f"more than {size}" if len(content) > size else str(len(content))
        raise _not_as_expected(path, f"it holds {found} bytes, not {size}")
    values = np.frombuffer(content, np.uint8, offset=len(header)).reshape(file.shape)
    if values.ndim == 1 and values.max() >= len(CLASSES):
        raise _not_as_expected(path, f"it holds the label {values.max()}, beyond {len(CLASSES) - 1}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise _not_as_expected(path, f"the SHA-256 of its content is {digest}, not {file.sha256}")
    return values


def _numbers(header: bytes) -> tuple[int, ...]:
    whole = len(header) // 4
    return struct.unpack(f">{whole}I", header[: 4 * whole])


def _not_as_expected(path: Path, what: str) -> DatasetError:
    return DatasetError(
        f"{path} is not MNIST's file of that name: {what}. Remove it to have it downloaded again, or put the right one "
        "there"
    )
