"""Datasets by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from attentive_gconv.data import digits, rot_mnist
from attentive_gconv.data.cache import cache_dir
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.splits import DataSplits
from attentive_gconv.lookup import find


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset that can be asked for by name.

    Attributes:
        summary: what it is, in one line.
        sources: where it can come from, each with a line about it; ``"auto"`` is always among them.
        load: makes the splits.
    """

    summary: str
    sources: Mapping[str, str]
    load: Callable[[LoadRequest], DataSplits]


DATASETS = {
    "digits": DatasetEntry(
        "scikit-learn's digits, turned by random angles: 1,797 images of 28×28, nothing to download",
        digits.SOURCES,
        digits.load_digits,
    ),
    "rot-mnist": DatasetEntry(
        "rotated MNIST: 12,000 images to train on and 50,000 to test on, 28×28",
        rot_mnist.SOURCES,
        rot_mnist.load_rot_mnist,
    ),
}


def list_datasets() -> list[str]:
    """The names that `load_dataset` takes.

    Example:
        >>> list_datasets()
        ['digits', 'rot-mnist']
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
) -> DataSplits:
    """A dataset in its splits, standardised; what it is made of is downloaded, and kept, where it is missing.

    Args:
        name: one of `list_datasets`.
        data_dir: the folder that holds ``mnist/``, ``rot-mnist/``, ...; downloads go there too. By default the cache
            folder, `cache_dir`.
        protocol: ``"validation"`` holds a part of the training images out, to choose the epoch on; ``"paper"`` trains
            on all of them.
        seed: of what is random in the making of the dataset; it is not the seed of a training.
        source: where the dataset comes from, if there is a choice; ``"auto"`` takes what is there.
        download: whether missing files may be downloaded.

    Raises:
        ValueError: if a name is unknown or an argument does not fit the dataset.
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
    folder = cache_dir() if data_dir is None else Path(data_dir).expanduser()
    return entry.load(LoadRequest(folder, protocol=protocol, seed=seed, source=source, download=download))
