"""Randomness as a function of seed and epoch, so that a resumed run draws what the unbroken one would have drawn."""

import random

import numpy as np
import torch


def epoch_seed(seed: int, epoch: int, stream: int) -> int:
    """A seed for one epoch and one use of it (`stream`); different arguments give unrelated seeds.

    Example:
        >>> epoch_seed(0, 1, 0) == epoch_seed(1, 0, 0)
        False
    """
    return int(np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint32)[0])


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
