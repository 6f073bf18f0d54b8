"""CIFAR-10: 50,000 training and 10,000 test images of ten classes, 32x32.

The files are those of torchvision's `CIFAR10`, with its URLs and checksums. They are pickles, so every checksum is
verified before a file is opened.
"""

import os
import tarfile
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.download import download, md5_of
from attentive_gconv.data.extras import import_extra
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.sources import LabelledSource, StoredPixels, held_out_at_the_end, splits_from_sources
from attentive_gconv.data.splits import DataSplits

SOURCES = {"auto": "the only source there is", "original": "the archive for Python that its authors published"}

SIDE = 32
# mean and std of the paper
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HELD_OUT = 5000


def load_cifar10(request: LoadRequest, files: Any = None, *, held_out: int = HELD_OUT) -> DataSplits:
    """Load CIFAR-10; under the protocol ``"validation"`` the last 5,000 training images are the validation set.

    Args:
        request: the checked arguments.
        files: torchvision's `CIFAR10`, or a subclass with other names and checksums.
        held_out: number of training images, the last ones, that the ``"validation"`` protocol holds out.

    Raises:
        DatasetError: if a file is missing and may not or cannot be downloaded, or is damaged.
        ValueError: if a seed is given.
    """
    request.refuse_seed()
    files = files or import_extra("torchvision.datasets", "the dataset 'cifar10'").CIFAR10
    folder = request.data_dir / "cifar10"
    _provide(folder, files, may_download=request.download)
    for name, md5 in _checked_files(files):
        _require_whole(folder / files.base_folder / name, md5)
    with warnings.catch_warnings():
        # numpy 2.4 and later, of the flags of a type in pickles as old as these
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
        opened = {part: files(str(folder), train=part == "train") for part in ("train", "test")}
    classes = tuple(opened["train"].classes)
    parts = {part: _labelled(folder / files.base_folder, data, len(classes)) for part, data in opened.items()}
    trained_on, valid = held_out_at_the_end(len(parts["train"].labels), held_out, request.protocol)
    return splits_from_sources(
        request,
        (parts["train"], trained_on),
        None if valid is None else (parts["train"], valid),
        parts["test"],
        name="cifar10",
        description="CIFAR-10",
        source="original",
        classes=classes,
        image_shape=(3, SIDE, SIDE),
        mean=MEAN,
        std=STD,
    )


def _checked_files(files: Any) -> list[tuple[str, str]]:
    return [*map(tuple, files.train_list), *map(tuple, files.test_list), (files.meta["filename"], files.meta["md5"])]


def _provide(folder: Path, files: Any, *, may_download: bool) -> None:
    """Download the archive if it is missing, and extract it; an existing folder is left as it is."""
    unpacked = folder / files.base_folder
    if unpacked.is_dir():
        return
    archive = folder / files.filename
    if not archive.is_file():
        if not may_download:
            raise DatasetError(
                f"{unpacked} and {archive} are both missing: put the archive there ({files.url}), or allow the download"
            )
        download([files.url], archive, files.tgz_md5, f"Try again later, or put {archive.name} into {folder}.")
    _require_whole(archive, files.tgz_md5)
    try:
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as temporary:
            with tarfile.open(archive, "r:gz") as opened:
                opened.extractall(temporary, filter="data")
            # another process may have extracted the same files in the meantime
            if not unpacked.is_dir():
                os.replace(Path(temporary) / files.base_folder, unpacked)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise DatasetError(f"cannot unpack {archive} into {folder}: {error}") from error


def _require_whole(path: Path, md5: str) -> None:
    if not path.is_file():
        raise DatasetError(
            f"{path} is missing: remove the folder {path.parent} to have it unpacked or downloaded again"
        )
    try:
        found = md5_of(path)
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    if found != md5:
        again = path if path.name.endswith(".gz") else f"the folder {path.parent}"
        raise DatasetError(
            f"{path} is not CIFAR-10's file of that name: its MD5 is {found}, not {md5}. Remove {again} to have it "
            "unpacked or downloaded again"
        )


def _labelled(folder: Path, data: Any, classes: int) -> LabelledSource:
    labels = torch.tensor(data.targets, dtype=torch.int64)
    remedy = f"remove {folder} to have it unpacked or downloaded again"
    if data.data.shape != (len(labels), SIDE, SIDE, 3):
        raise DatasetError(f"{folder} holds images {data.data.shape} and {len(labels)} labels: {remedy}")
    if not len(labels) or labels.min() < 0 or labels.max() >= classes:
        raise DatasetError(f"{folder} holds labels beyond 0 to {classes - 1}: {remedy}")
    pixels = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
    return LabelledSource(StoredPixels(pixels), labels)
