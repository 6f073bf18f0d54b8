"""A dataset of a few noisy images, registered under the name ``tiny``, that notes which of its images are read."""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from attentive_gconv.data import DataSplits, InMemoryDataset
from attentive_gconv.data.datasets import DATASETS, DatasetEntry
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.training import TrainConfig, load_recipe

RECIPE = Path(__file__).parent / "tiny.yaml"


class PowerCut(Exception):
    """What ends a process in the middle of an epoch."""


class WatchedImages(InMemoryDataset):
    """Images that note in a journal when they are read, and can be made to fail."""

    def __init__(
        self, name: str, size: int, seed: int, journal: list[str], until_failure: "Synchronized | None" = None
    ) -> None:
        noise = torch.randn(size, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
        patterns = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(99))
        labels = torch.arange(size) % 3
        super().__init__(noise + patterns[labels], labels)
        self.name = name
        self.journal = journal
        self.until_failure = until_failure

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.journal.append(self.name)
        if self.until_failure is not None:
            with self.until_failure:
                self.until_failure.value -= 1
            if self.until_failure.value < 0:
                raise PowerCut
        return super().__getitem__(index)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        return [self[index] for index in indices]


@dataclass
class Tiny:
    """The dataset's state: change it before it is loaded.

    Attributes:
        journal: the split of every image read, in order.
    """

    journal: list[str] = field(default_factory=list)
    until_failure: Synchronized | None = None
    shape: tuple[int, int, int] = (1, 28, 28)
    std: float = 0.5
    transposed: bool = False
    classes: tuple[str, ...] = ("a", "b", "c")

    def fail_after(self, reads: int | None) -> None:
        """Reading more training images than these, in any process, ends in `PowerCut`; None: never."""
        self.until_failure = None if reads is None else multiprocessing.Value("i", reads)

    def load(self, request: LoadRequest) -> DataSplits:
        """What the registry calls."""
        held_out = request.protocol == "validation"
        return DataSplits(
            name="tiny",
            description="noise and three patterns",
            source="made",
            classes=self.classes,
            image_shape=self.shape,
            train=WatchedImages("train", 24, 1, self.journal, self.until_failure),
            valid=WatchedImages("valid", 15, 2, self.journal) if held_out else None,
            test=WatchedImages("test", 18, 3, self.journal),
            mean=(0.25,),
            std=(self.std,),
            protocol=request.protocol,
            transposed=self.transposed,
        )


def tiny_config(**overrides: Any) -> TrainConfig:
    """Settings for the tiny dataset; double underscores stand for dots."""
    return load_recipe(RECIPE, {name.replace("__", "."): value for name, value in overrides.items()})


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The dataset, registered for the duration of a test."""
    state = Tiny()
    sources = {"auto": "what there is", "made": "made here"}
    monkeypatch.setitem(DATASETS, "tiny", DatasetEntry("a few images", sources, state.load))
    return state
