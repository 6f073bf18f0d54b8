"""What is asked of a dataset, checked before anything is read or downloaded."""

from dataclasses import dataclass
from pathlib import Path

from attentive_gconv.lookup import find

PROTOCOLS = {
    "validation": "a part of the training images is held out, to choose the epoch on",
    "paper": "all training images are trained on, as the authors did",
}

# seeds that numpy's RandomState takes
_SEEDS = 2**32


@dataclass(frozen=True)
class LoadRequest:
    """The arguments of `load_dataset`, once they are known to make sense.

    Attributes:
        data_dir: folder of the originals, ``mnist/``, ``rot-mnist/``, ...; downloads go there too.
        protocol: one of `PROTOCOLS`.
        seed: of what is random in the making of the dataset.
        source: one of the dataset's sources.
        download: whether missing originals may be downloaded.
    """

    data_dir: Path
    protocol: str = "validation"
    seed: int = 0
    source: str = "auto"
    download: bool = True

    def __post_init__(self) -> None:
        find("protocol", self.protocol, PROTOCOLS)
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < _SEEDS:
            raise ValueError(f"`seed` (={self.seed!r}) must be an integer from 0 to {_SEEDS - 1}")
        if self.data_dir.exists() and not self.data_dir.is_dir():
            raise ValueError(f"`data_dir` (={str(self.data_dir)!r}) is a file: give the folder that holds the datasets")
