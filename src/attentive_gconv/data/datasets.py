"""Registry of datasets, and `load_dataset`."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attentive_gconv.data import cifar10, digits, elpv, image_folder, pcam, rot_mnist
from attentive_gconv.data.augmentation import Transform, find_augmentation
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.splits import DataSplits
from attentive_gconv.files import expand_user
from attentive_gconv.lookup import find


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset in the registry.

    Attributes:
        summary: one line for lists.
        sources: its sources, each with a one-line description; ``"auto"`` is always among them.
        load: makes the splits.
        augmentations: data augmentations that it offers, besides ``"none"``.
        official_validation: whether it has an official validation set, so that ``"validation"`` is its only protocol.
        own_folder: whether it is read from a folder of the user's, given as ``dataset_dir``.
        resizable: whether ``image_size`` scales its images.
    """

    summary: str
    sources: Mapping[str, str]
    load: Callable[[LoadRequest], DataSplits]
    augmentations: tuple[str, ...] = ()
    official_validation: bool = False
    own_folder: bool = False
    resizable: bool = False


DATASETS = {
    "cifar10": DatasetEntry(
        "CIFAR-10: 50,000 training and 10,000 test images of ten classes, 32×32",
        cifar10.SOURCES,
        cifar10.load_cifar10,
        augmentations=("flip-crop", "rotation"),
    ),
    "digits": DatasetEntry(
        "scikit-learn's digits, rotated by random angles: 1,797 images, 28×28, nothing to download",
        digits.SOURCES,
        digits.load_digits,
        augmentations=("rotation",),
    ),
    "elpv": DatasetEntry(
        "ELPV: 2,624 electroluminescence images of solar cells, functional or defective (CC BY-NC-SA 4.0)",
        elpv.SOURCES,
        elpv.load_elpv,
        augmentations=("flip-crop", "rotation"),
        resizable=True,
    ),
    "image-folder": DatasetEntry(
        "PNG and JPEG images of your own, in one folder for each class",
        image_folder.SOURCES,
        image_folder.load_image_folder,
        augmentations=("flip-crop", "rotation"),
        own_folder=True,
        resizable=True,
    ),
    "pcam": DatasetEntry(
        "PatchCamelyon: 327,680 patches of lymph-node sections in an official split, 96×96, read from the files",
        pcam.SOURCES,
        pcam.load_pcam,
        augmentations=("flip-crop", "rotation"),
        official_validation=True,
    ),
    "rot-mnist": DatasetEntry(
        "Rotated MNIST: 12,000 training and 50,000 test images, 28×28",
        rot_mnist.SOURCES,
        rot_mnist.load_rot_mnist,
        augmentations=("rotation",),
    ),
}


def register_dataset(
    name: str,
    load: Callable[[LoadRequest], DataSplits],
    *,
    summary: str = "",
    sources: Mapping[str, str] | None = None,
    augmentations: Sequence[str] = ("flip-crop", "rotation"),
    own_folder: bool = False,
    resizable: bool = False,
) -> DatasetEntry:
    """Register a dataset of your own under a name, for `load_dataset`, recipes and the command line.

    On the command line, ``--import MODULE`` imports the module that registers it.

    Args:
        name: letters, digits, ``_``, ``.`` and ``-``.
        load: a reproducible function from a `LoadRequest` (folder, protocol, seed, augmentation) to `DataSplits`.
        summary: one line for lists.
        sources: its sources, each with a one-line description; ``"auto"`` is added.
        augmentations: which of ``"flip-crop"`` and ``"rotation"`` it offers; transforms of one image always work.
        own_folder, resizable: whether it takes ``dataset_dir`` and ``image_size``.

    Raises:
        ValueError: if the name is invalid or taken.
        TypeError: if ``load`` is not callable.

    Example:
        >>> import torch
        >>> from attentive_gconv.data import DataSplits, InMemoryDataset, load_dataset, register_dataset
        >>> def load(request):
        ...     images, labels = torch.randn(30, 1, 28, 28), torch.arange(30) % 2
        ...     train, valid, test = (InMemoryDataset(images[i::3], labels[i::3]) for i in range(3))
        ...     facts = {"name": "noise", "description": "noise", "source": "drawn", "classes": ("even", "odd")}
        ...     facts |= {"image_shape": (1, 28, 28), "mean": (0.0,), "std": (1.0,), "protocol": request.protocol}
        ...     return DataSplits(train=train, valid=valid, test=test, **facts)
        >>> entry = register_dataset("noise", load, sources={"drawn": "drawn here"})
        >>> load_dataset("noise").class_counts()["test"]
        [5, 5]
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ValueError(f"`name` (={name!r}) must be letters, digits, '_', '.' and '-', and begin with no sign")
    if name in DATASETS:
        raise ValueError(f"a dataset named {name!r} is registered already: take another name")
    if not callable(load):
        raise TypeError(f"`load` (={load!r}) must be a function of a LoadRequest that returns DataSplits")
    known = {"auto": "the first source that is available", **(sources or {})}
    entry = DatasetEntry(
        summary, known, load, augmentations=tuple(augmentations), own_folder=own_folder, resizable=resizable
    )
    DATASETS[name] = entry
    return entry


def list_datasets() -> list[str]:
    """Names of the available datasets, for `load_dataset`.

    Example:
        >>> list_datasets()
        ['cifar10', 'digits', 'elpv', 'image-folder', 'pcam', 'rot-mnist']
    """
    return sorted(DATASETS)


def load_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    protocol: str = "validation",
    seed: int = 0,
    source: str = "auto",
    download: bool = True,
    augmentation: str | Transform = "none",
    augmentation_options: Mapping[str, Any] | None = None,
    dataset_dir: str | Path | None = None,
    image_size: int | None = None,
) -> DataSplits:
    """Load a dataset as standardised training, validation and test sets; missing files are downloaded.

    Args:
        name: one of `list_datasets`.
        data_dir: the folder that holds ``mnist/``, ``rot-mnist/``, ..., to which missing files are downloaded. By
            default the cache folder, `cache_dir`.
        protocol: ``"validation"`` holds out a part of the training images as validation set; ``"final"`` and
            ``"paper"`` train on all of them.
        seed: seed of generated datasets and random splits; it is not the seed of a training.
        source: one of the dataset's sources; ``"auto"`` takes the first that is available.
        download: whether missing files may be downloaded.
        augmentation: data augmentation of the training images: ``"none"``, ``"rotation"``, ``"flip-crop"`` (for
            ``cifar10``, ``elpv``, ``pcam`` and ``image-folder``), the name of a class of `torchvision.transforms.v2`,
            the import path of a transform, or a transform of images ``(C, Y, X)`` in [0, 1].
        augmentation_options: arguments of that class.
        dataset_dir: for ``image-folder``, the folder that holds ``train/`` and ``test/``.
        image_size: for ``image-folder`` and ``elpv``, the side in pixels that images are scaled to; by default images
            of a folder keep their size, those of ``elpv`` become 64×64.

    Raises:
        ValueError: if a name is unknown or an argument has no meaning for the dataset.
        DatasetError: if a file is missing, damaged, or cannot be downloaded.

    Example:
        >>> splits = load_dataset("digits")
        >>> {name: len(split) for name, split in splits.by_name().items()}
        {'train': 1200, 'valid': 200, 'test': 397}
        >>> image, label = splits.train[0]
        >>> image.shape, label
        (torch.Size([1, 28, 28]), 2)
    """
    entry = find("dataset", name, DATASETS)
    find(f"source of {name}", source, entry.sources)
    request = LoadRequest(
        None if data_dir is None else expand_user(data_dir),
        protocol=protocol,
        seed=seed,
        source=source,
        download=download,
        augmentation=find_augmentation(augmentation, augmentation_options),
        dataset_dir=None if dataset_dir is None else expand_user(dataset_dir),
        image_size=image_size,
    )
    _check_meaning(name, entry, request)
    # whatever the default device is: datasets live on the CPU, where loaders read them
    with torch.device("cpu"):
        return entry.load(request)


def _check_meaning(name: str, entry: DatasetEntry, request: LoadRequest) -> None:
    """Refuse arguments that a dataset would ignore."""
    for argument, value, meant in (
        ("dataset_dir", request.dataset_dir, "own_folder"),
        ("image_size", request.image_size, "resizable"),
    ):
        if value is not None and not getattr(entry, meant):
            others = ", ".join(repr(other) for other, known in DATASETS.items() if getattr(known, meant))
            raise ValueError(f"`{argument}` (={str(value)!r}) has no meaning for {name}, only for {others}")
    if request.protocol != "validation" and entry.official_validation:
        raise ValueError(
            f"`protocol` (={request.protocol!r}) has no meaning for {name}: it has an official validation set, which "
            "the paper's authors used, too; take 'validation'"
        )
    if isinstance(request.augmentation, str) and request.augmentation not in ("none", *entry.augmentations):
        others = ", ".join(map(repr, ("none", *entry.augmentations)))
        raise ValueError(f"`augmentation` (={request.augmentation!r}) has no meaning for {name}: take {others}")
