"""Checked arguments of `load_dataset`, and the protocols."""

from dataclasses import dataclass
from pathlib import Path

from attentive_gconv.data.augmentation import AUGMENTATIONS, Transform
from attentive_gconv.data.cache import cache_dir
from attentive_gconv.lookup import find
from attentive_gconv.settings import LARGEST_SIDE

PROTOCOLS = {
    "validation": "a part of the training images is held out as validation set, which chooses the epoch",
    "final": "all training images are trained on, nothing is chosen, and the test set is used once, at the end",
    "paper": "all training images are trained on and the test set is monitored, as the authors did",
}

# seeds that numpy's RandomState takes
_SEEDS = 2**32


@dataclass(frozen=True)
class LoadRequest:
    """Arguments of `load_dataset`, checked before anything is read or downloaded.

    Attributes:
        folder: the folder of the datasets' files, see `data_dir`; None is the cache folder.
        protocol: one of `PROTOCOLS`.
        seed: seed of generated datasets and random splits.
        source: one of the dataset's sources.
        download: whether missing files may be downloaded.
        dataset_dir: the folder of the user's own images.
        image_size: the side in pixels that images are scaled to; None keeps their size.
        augmentation: one of `AUGMENTATIONS`, or a transform of one image.
    """

    folder: Path | None
    protocol: str = "validation"
    seed: int = 0
    source: str = "auto"
    download: bool = True
    dataset_dir: Path | None = None
    image_size: int | None = None
    augmentation: str | Transform = "none"

    def __post_init__(self) -> None:
        find("protocol", self.protocol, PROTOCOLS)
        if isinstance(self.augmentation, str):
            find("augmentation", self.augmentation, AUGMENTATIONS)
        size = self.image_size
        if size is not None and (type(size) is not int or not 1 <= size <= LARGEST_SIDE):
            raise ValueError(f"`image_size` (={size!r}) must be a number of pixels from 1 to {LARGEST_SIDE}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < _SEEDS:
            raise ValueError(f"`seed` (={self.seed!r}) must be an integer from 0 to {_SEEDS - 1}")
        if self.folder is not None and self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"`data_dir` (={str(self.folder)!r}) is a file: give the folder that holds the datasets")

    @property
    def data_dir(self) -> Path:
        """The folder that holds ``mnist/``, ``rot-mnist/``, ..., to which missing files are downloaded.

        Raises:
            OSError: if none is given and the user has no cache folder.
        """
        return cache_dir() if self.folder is None else self.folder

    def refuse_seed(self) -> None:
        """Raise ValueError if a seed is given for a dataset without randomness."""
        if self.seed:
            raise ValueError(f"`seed` (={self.seed}) has no effect: nothing is random in this dataset; leave it at 0")
