"""rot-MNIST (rotated MNIST): 12,000 training and 50,000 test images of rotated digits.

There are two sources: the original archive of Larochelle et al. (ICML 2007), and an equivalent dataset re-made from
MNIST: its 70,000 digits are pooled and shuffled; 12,000 and 50,000 of them are scaled to [0, 1], rotated about the
centre by an angle uniform in [0°, 360°) with bilinear interpolation, and transposed, because the archive stores columns
first.
"""

from dataclasses import dataclass
from typing import Any

import torch

from attentive_gconv.data.cache import Arrays, CacheEntry, load_or_build
from attentive_gconv.data.data_error import DatasetError
from attentive_gconv.data.mnist import CLASSES, MNIST, MnistFiles, missing_files, pooled_digits
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.rot_mnist_archive import ROT_MNIST_ARCHIVE, SIDE, Archive, parsed_archive
from attentive_gconv.data.rotation import shuffled_and_rotated
from attentive_gconv.data.splits import DataSplits, LabelledImages, splits_in_memory

SOURCES = {
    "auto": "the original if its file is there, else re-made if MNIST is there, else the original, downloaded",
    "original": "the archive of 2007",
    "remade": "re-made from MNIST, with a seed",
}


@dataclass(frozen=True)
class RotMnist:
    """Source files of rot-MNIST.

    Attributes:
        archive: the original; the re-made set has the same numbers of images.
        mnist: the files that the set is re-made from.
        held_out: number of training images, the last ones, that the ``"validation"`` protocol holds out.
    """

    archive: Archive = ROT_MNIST_ARCHIVE
    mnist: MnistFiles = MNIST
    held_out: int = 2000


def load_rot_mnist(request: LoadRequest, made_of: RotMnist | None = None) -> DataSplits:
    """Load rot-MNIST from the requested source.

    Raises:
        DatasetError: if the files it is made of are missing, damaged or cannot be downloaded.
        ValueError: if a seed is given for the original.
    """
    made_of = made_of or RotMnist()
    source = _first_there(request, made_of) if request.source == "auto" else request.source
    if source == "original" and request.seed:
        raise ValueError(
            f"`seed` (={request.seed}) has no effect on the original rot-MNIST archive: leave it at 0, or take "
            "`source` 'remade'"
        )
    entry = _cache_entry(made_of, source, request.seed)
    if source == "original":
        description = "rot-MNIST, the original archive"
        folder = request.data_dir / "rot-mnist"
        arrays, path = load_or_build(
            entry, lambda: parsed_archive(folder, made_of.archive, may_download=request.download)
        )
    else:
        description = f"rot-MNIST, re-made from MNIST, seed {request.seed}"
        arrays, path = load_or_build(entry, lambda: _remade(request, made_of))
    return splits_in_memory(
        _labelled(arrays, "train"),
        _labelled(arrays, "test"),
        held_out=made_of.held_out,
        protocol=request.protocol,
        augmentation=request.augmentation,
        name="rot-mnist",
        description=description,
        source=source,
        classes=CLASSES,
        transposed=True,
        cache_path=path,
    )


def _first_there(request: LoadRequest, made_of: RotMnist) -> str:
    archive = request.data_dir / "rot-mnist" / made_of.archive.file_name
    if archive.is_file() or _cache_entry(made_of, "original", 0).existing_path():
        return "original"
    folder = request.data_dir / "mnist"
    missing = missing_files(folder, made_of.mnist)
    if not missing or _cache_entry(made_of, "remade", request.seed).existing_path():
        return "remade"
    if request.download:
        return "original"
    raise DatasetError(
        f"rot-MNIST has no source: there is neither {archive} ({made_of.archive.address}) nor, in {folder}, "
        f"{', '.join(f'{file.name}.gz' for file in missing)}. Put either there, or allow the download"
    )


def _cache_entry(made_of: RotMnist, source: str, seed: int) -> CacheEntry:
    archive = made_of.archive
    made_from: dict[str, Any]
    if source == "original":
        name, made_from = "rot-mnist-original", {"md5": archive.md5}
    else:
        name, made_from = f"rot-mnist-remade-seed{seed}", {"sha256": [file.sha256 for file in made_of.mnist]}
    layout: dict[str, tuple[str, tuple[int, ...]]] = {}
    for part, count in (("train", archive.train.rows), ("test", archive.test.rows)):
        layout[f"{part}_images"] = ("<f4", (count, SIDE, SIDE))
        layout[f"{part}_labels"] = ("|u1", (count,))
    return CacheEntry(name, made_from, layout)


def _remade(request: LoadRequest, made_of: RotMnist) -> Arrays:
    digits, labels = pooled_digits(request.data_dir / "mnist", made_of.mnist, may_download=request.download)
    train, test = made_of.archive.train.rows, made_of.archive.test.rows
    images, chosen = shuffled_and_rotated(
        torch.from_numpy(digits)[:, None], torch.from_numpy(labels), request.seed, count=train + test
    )
    pixels = images[:, 0].transpose(-2, -1).contiguous().numpy()
    numbers = chosen.to(torch.uint8).numpy()
    return {
        "train_images": pixels[:train],
        "train_labels": numbers[:train],
        "test_images": pixels[train:],
        "test_labels": numbers[train:],
    }


def _labelled(arrays: Arrays, part: str) -> LabelledImages:
    return LabelledImages(
        torch.from_numpy(arrays[f"{part}_images"])[:, None], torch.from_numpy(arrays[f"{part}_labels"]).long()
    )
