"""Arguments of `load_dataset`, checked before anything is read or downloaded."""

from dataclasses import dataclass
from pathlib import Path

from attentive_gconv.data.augmentation import AUGMENTATIONS, Transform
from attentive_gconv.data.cache import cache_dir
from attentive_gconv.lookup import find

PROTOCOLS = {
    "validation": "a validation set is split off the training set, to choose the epoch on",
    "final": "all training images are trained on, nothing is chosen, and the test set is used once, at the end",
    "paper": "all training images are trained on and the test set is monitored, as the authors did",
}

# seeds that numpy's RandomState takes
_SEEDS = 2**32
# of an image that a network is trained on
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class LoadRequest:
    """Checked arguments of `load_dataset`.

    Attributes:
        folder: of the originals, see `data_dir`; None takes the cache folder.
        protocol: one of `PROTOCOLS`.
        seed: of what is random in the making of the dataset.
        source: one of the dataset's sources.
        download: whether missing originals may be downloaded.
        dataset_dir: the folder of a dataset of one's own.
        image_size: side that its images are scaled to; None leaves them as they are.
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
        """Folder of the originals, ``mnist/``, ``rot-mnist/``, ...; downloads go there too.

        Raises:
            OSError: if none is given and the user has no cache folder.
        """
        return cache_dir() if self.folder is None else self.folder

    def refuse_seed(self) -> None:
        """Raise ValueError if a seed is given for a dataset without randomness."""
        if self.seed:
            raise ValueError(f"`seed` (={self.seed}) has no effect: nothing is random in this dataset; leave it at 0")
