"""Your own images, in one folder for each class.

    DIR/train/CLASS/...   training set
    DIR/valid/CLASS/...   validation set; without it, the last tenth of every class of train/
    DIR/test/CLASS/...    test set

The images are PNG and JPEG files at any depth, in the order of their names; hidden files are ignored. They are read
lazily, in RGB. The first load reads every image once, to check that all are readable and of one size, and to compute
mean and standard deviation of each channel over the training images.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attentive_gconv.data.cache import Arrays, CacheEntry, load_or_build
from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.sources import ImageSource, LabelledSource, splits_from_sources
from attentive_gconv.data.splits import DataSplits
from attentive_gconv.resizing import resize

SOURCES = {"auto": "the only source there is", "folder": "the files in the folder that is given"}

SUFFIXES = (".png", ".jpg", ".jpeg")
# files that operating systems create and do not hide
_LITTER = ("thumbs.db", "desktop.ini")
CHANNELS = 3
# share of each class that is held out where there is no valid/
HELD_OUT = 0.1
_AT_ONCE = 256


class ImageFiles(ImageSource):
    """Image files, read as ``agconv predict`` reads them.

    Args:
        paths: the files.
        image_size: the side that they are scaled to, padded where they are not square; None keeps their size.
    """

    def __init__(self, paths: Sequence[Path], image_size: int | None) -> None:
        self.paths = paths
        self.image_size = image_size

    def read(self, positions: Sequence[int]) -> Tensor:
        """Read the images at these indices, which must have the same size."""
        return torch.stack([self.read_one(position) for position in positions])

    def read_one(self, position: int) -> Tensor:
        """Read one image, float32 ``(3, Y, X)`` in [0, 1]."""
        # only this needs Pillow
        from attentive_gconv.data.image_file import ImageError, read_pixels

        try:
            pixels = read_pixels(self.paths[position], CHANNELS)
        except ImageError as error:
            raise DatasetError(f"{error}: repair or remove it") from error
        return pixels if self.image_size is None else resize(pixels, self.image_size, self.image_size, "pad")


@dataclass(frozen=True)
class _Part:
    """Files of train/, valid/ or test/, ordered by class and name, and their labels."""

    files: list[Path]
    labels: Tensor


def load_image_folder(request: LoadRequest) -> DataSplits:
    """Load the images in ``request.dataset_dir``.

    Raises:
        DatasetError: if the folder has another layout, or an image cannot be read or has another size.
        ValueError: if there is no such folder, or a seed is given.
    """
    request.refuse_seed()
    folder = request.dataset_dir
    if folder is None or not folder.is_dir():
        what = "is missing" if folder is None else f"(={str(folder)!r}) is no folder"
        raise ValueError(f"`dataset_dir` {what}: give the folder that holds train/ and test/ (--dataset-dir)")
    classes = _class_names(folder / "train")
    parts = {name: _find_files(folder / name, classes) for name in ("train", "test")}
    if (folder / "valid").is_dir():
        parts["valid"] = _find_files(folder / "valid", classes)
    sources = {
        name: LabelledSource(ImageFiles(part.files, request.image_size), part.labels) for name, part in parts.items()
    }
    trained_on, valid = _protocol(request, parts, sources)
    facts, path = _facts(folder, request, parts, trained_on)
    height, width = map(int, facts["size"])
    return splits_from_sources(
        request,
        trained_on,
        valid,
        sources["test"],
        name="image-folder",
        description=f"images in folders of {len(classes)} classes",
        source="folder",
        classes=classes,
        image_shape=(CHANNELS, height, width),
        mean=tuple(facts["mean"].tolist()),
        std=tuple(facts["std"].tolist()),
        cache_path=path,
    )


def _class_names(train: Path) -> tuple[str, ...]:
    if not train.is_dir():
        raise DatasetError(f"{train} is missing: put the training images there, in a folder for every class")
    names = tuple(sorted(entry.name for entry in train.iterdir() if entry.is_dir() and not entry.name.startswith(".")))
    for name in names:
        # class names are written to the files of a run, which are UTF-8
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise DatasetError(f"{str(train / name)!r} has a name that is no UTF-8, and is a class: rename the folder")
    if len(names) < 2:
        raise DatasetError(f"{train} must hold at least two folders, one for every class; it holds {len(names)}")
    return names


def _find_files(folder: Path, classes: tuple[str, ...]) -> _Part:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is missing: put the images there, in a folder for every class")
    for entry in sorted(folder.iterdir()):
        if _is_litter(entry.name) or (entry.is_dir() and entry.name in classes):
            continue
        known = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
        raise DatasetError(f"{entry} belongs to no class: the folders of train/ are the classes ({known})")
    files, labels = [], []
    for label, name in enumerate(classes):
        found = list(_image_files(folder / name)) if (folder / name).is_dir() else []
        if not found and folder.name == "train":
            raise DatasetError(f"{folder / name} holds no image: add some, or remove the folder")
        files += found
        labels += [label] * len(found)
    if not files:
        raise DatasetError(f"{folder} holds no image")
    return _Part(files, torch.tensor(labels, dtype=torch.int64))


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _image_files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if _is_litter(entry.name):
            continue
        if entry.is_dir():
            yield from _image_files(entry)
        elif entry.suffix.lower() in SUFFIXES:
            yield entry
        else:
            raise DatasetError(f"{entry} is no PNG or JPEG file by its name: convert or remove it")


def _protocol(
    request: LoadRequest, parts: dict[str, _Part], sources: dict[str, LabelledSource]
) -> tuple[tuple[LabelledSource, Tensor | None], tuple[LabelledSource, Tensor | None] | None]:
    """Training and validation set under the protocol."""
    if request.protocol != "validation":
        if "valid" not in parts:
            return (sources["train"], None), None
        files = parts["train"].files + parts["valid"].files
        labels = torch.cat([parts["train"].labels, parts["valid"].labels])
        return (LabelledSource(ImageFiles(files, request.image_size), labels), None), None
    if "valid" in parts:
        return (sources["train"], None), (sources["valid"], None)
    kept, held_out = [], []
    for label in parts["train"].labels.unique():
        positions = (parts["train"].labels == label).nonzero()[:, 0]
        if len(positions) < 2:
            raise DatasetError(
                f"{parts['train'].files[int(positions[0])].parent} holds one image, and the protocol 'validation' "
                "holds out a tenth of every class: add some, make a valid/ beside train/, or take the protocol 'final'"
            )
        count = max(1, round(HELD_OUT * len(positions)))
        kept.append(positions[:-count])
        held_out.append(positions[-count:])
    return (sources["train"], torch.cat(kept)), (sources["train"], torch.cat(held_out))


def _facts(
    folder: Path, request: LoadRequest, parts: dict[str, _Part], trained_on: tuple[LabelledSource, Tensor | None]
) -> tuple[Arrays, Path | None]:
    """Size of the images, mean and std of the training set; computed once and cached."""
    digest = hashlib.sha256()
    for part in sorted(parts):
        for path in parts[part].files:
            status = path.stat()
            name = os.fsencode(path.relative_to(folder))
            digest.update(b"%b\0%d\0%d\0" % (name, status.st_size, status.st_mtime_ns))
    entry = CacheEntry(
        "image-folder",
        {"files": digest.hexdigest(), "protocol": request.protocol, "image_size": request.image_size},
        {"size": ("<i8", (2,)), "mean": ("<f8", (CHANNELS,)), "std": ("<f8", (CHANNELS,))},
    )
    return load_or_build(entry, lambda: _read_all(parts, request.image_size, trained_on))


def _read_all(
    parts: dict[str, _Part], image_size: int | None, trained_on: tuple[LabelledSource, Tensor | None]
) -> Arrays:
    source, positions = trained_on
    paths = source.images.paths  # type: ignore[attr-defined]
    counted = {paths[position] for position in (range(len(paths)) if positions is None else positions.tolist())}
    every = [path for name in sorted(parts) for path in parts[name].files]
    files = ImageFiles(every, image_size)
    size: tuple[int, int] | None = None
    pixels, sums, squares = 0, np.zeros(CHANNELS), np.zeros(CHANNELS)
    for path, image in zip(every, _in_order(files), strict=True):
        found = (int(image.shape[1]), int(image.shape[2]))
        size = size or found
        if found != size:
            raise DatasetError(
                f"{path} has {found[0]} x {found[1]} pixels and {every[0]} has {size[0]} x {size[1]}: scale them all "
                "to one size with `image_size` (--image-size)"
            )
        if path in counted:
            values = image.numpy().reshape(CHANNELS, -1).astype(np.float64)
            pixels += values.shape[1]
            sums += values.sum(1)
            squares += np.square(values).sum(1)
    mean = sums / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    if not (std > 0).all():
        raise DatasetError(f"the images below {paths[0].parents[1]} are all of one colour: nothing can be learned")
    return {"size": np.array(size, np.int64), "mean": mean, "std": std}


def _in_order(files: ImageFiles) -> Iterable[Tensor]:
    """Read all images in order, with several threads."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(files.paths), _AT_ONCE):
            yield from pool.map(files.read_one, range(first, min(first + _AT_ONCE, len(files.paths))))
