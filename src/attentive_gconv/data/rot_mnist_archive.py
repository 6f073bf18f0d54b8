"""The original rot-MNIST archive (Larochelle et al., ICML 2007): download, verify and parse.

The archive holds two text files with one row for each image: 784 pixels in [0, 1], columns first, then the label.
"""

import io
import itertools
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attentive_gconv.data.cache import Arrays
from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.download import download, md5_of
from attentive_gconv.data.mnist import CLASSES

SIDE = 28
_PIXELS = SIDE * SIDE
# the longest usual spelling of a number, " -1.000000000000000000e+000", has 26
_MOST_CHARACTERS_A_VALUE = 32
# resampled pixels may lie outside [0, 1] by rounding
_SLACK = 0.01
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class AmatFile:
    """A text file in the archive, and its number of rows."""

    name: str
    rows: int


@dataclass(frozen=True)
class Archive:
    """Address, checksum and contents of the archive.

    Attributes:
        address: URL of the download; its last part is the file name.
        md5: checksum.
        train: file of the training images.
        test: file of the test images.
    """

    address: str
    md5: str
    train: AmatFile
    test: AmatFile

    @property
    def file_name(self) -> str:
        """The archive's name in the data folder."""
        return self.address.rpartition("/")[2]


ROT_MNIST_ARCHIVE = Archive(
    address="http://www.iro.umontreal.ca/~lisa/icml2007data/mnist_rotation_new.zip",
    md5="0f9a947ff3d30e95cd685462cbf3b847",
    train=AmatFile("mnist_all_rotation_normalized_float_train_valid.amat", 12_000),
    test=AmatFile("mnist_all_rotation_normalized_float_test.amat", 50_000),
)


def parsed_archive(folder: Path, archive: Archive, *, may_download: bool) -> Arrays:
    """Parse the archive: images, float32 ``(N, Y, X)``, and labels, uint8 ``(N,)``, of training and test set.

    Raises:
        DatasetError: if the archive is missing and may not or cannot be downloaded, or is damaged.
    """
    path = folder / archive.file_name
    if not path.is_file():
        remedy = (
            f"Put the archive there by hand, or take source='remade' (`agconv data rot-mnist --source remade`), which "
            f"makes an equivalent set from MNIST, whose files go to {folder.parent / 'mnist'}."
        )
        if not may_download:
            raise DatasetError(f"{path} is missing, and downloads are not allowed. {remedy}")
        download([archive.address], path, archive.md5, remedy)
    try:
        if (found := md5_of(path)) != archive.md5:
            raise _damaged(path, f"its MD5 is {found}, not {archive.md5}")
        with zipfile.ZipFile(path) as opened:
            train_images, train_labels = _parse(path, opened, archive.train)
            test_images, test_labels = _parse(path, opened, archive.test)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _damaged(path, f"it cannot be unpacked: {error}") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_labels": test_labels,
    }


def _parse(path: Path, opened: zipfile.ZipFile, file: AmatFile) -> tuple[np.ndarray, np.ndarray]:
    members = [info for info in opened.infolist() if info.filename.rpartition("/")[2] == file.name]
    if len(members) != 1:
        raise _damaged(path, f"it holds {len(members)} files named {file.name}, not one")
    most = file.rows * (_PIXELS + 1) * _MOST_CHARACTERS_A_VALUE
    if members[0].file_size > most:
        raise _damaged(
            path, f"{file.name} unpacks to {members[0].file_size} bytes, more than {file.rows} rows can have"
        )
    images = np.empty((file.rows, SIDE, SIDE), np.float32)
    labels = np.empty(file.rows, np.uint8)
    done = 0
    with opened.open(members[0]) as binary, io.TextIOWrapper(binary, "ascii", errors="replace") as text:
        for rows in _blocks_of_rows(path, file, text):
            until = done + len(rows)
            if until > file.rows:
                raise _damaged(path, f"{file.name} holds more than {file.rows} rows")
            images[done:until] = rows[:, :-1].reshape(-1, SIDE, SIDE)
            labels[done:until] = rows[:, -1]
            done = until
    if done != file.rows:
        raise _damaged(path, f"{file.name} holds {done} rows, not {file.rows}")
    return images, labels


def _blocks_of_rows(path: Path, file: AmatFile, text: io.TextIOWrapper) -> Iterator[np.ndarray]:
    """Parse and check the text in blocks of rows, so that it is never in memory at once."""
    lines = (line for line in text if line.strip())
    first = 1
    while block := list(itertools.islice(lines, _ROWS_AT_ONCE)):
        where = f"{file.name}, rows {first} to {first + len(block) - 1}"
        try:
            rows = np.loadtxt(block, dtype=np.float64, ndmin=2)
        except ValueError as error:
            raise _damaged(path, f"{where}: {error}") from error
        if rows.shape[1] != _PIXELS + 1:
            raise _damaged(path, f"{where}: {rows.shape[1]} values a row, not {_PIXELS + 1}")
        if not np.isin(rows[:, -1], np.arange(len(CLASSES))).all():
            raise _damaged(path, f"{where}: labels that are not among 0 to {len(CLASSES) - 1}")
        if not ((rows[:, :-1] >= -_SLACK) & (rows[:, :-1] <= 1 + _SLACK)).all():
            raise _damaged(path, f"{where}: pixels outside [0, 1]")
        yield rows
        first += len(block)


def _damaged(path: Path, what: str) -> DatasetError:
    return DatasetError(f"{path} is not the rot-MNIST archive: {what}. Remove it to have it downloaded again")
