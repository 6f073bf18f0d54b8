"""Seeds by epoch, so that a resumed run draws the same random numbers as an uninterrupted one."""

import random

import numpy as np
import torch


def epoch_seed(seed: int, epoch: int, stream: int) -> int:
    """Derive the seed of an epoch for one purpose (``stream``); different arguments give unrelated seeds.

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
