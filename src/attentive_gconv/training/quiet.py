"""Lightning's hints kept out of what the user reads, and its global settings out of the caller's process."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

EXPECTED_WARNINGS = (
    # deliberate: the data lie in memory
    r".*does not have many workers which may be a bottleneck.*",
    # the metrics are summed over the devices before they are logged
    r".*It is recommended to use `self.log\(.*sync_dist=True.*",
    # Lightning 2.6 under torch 2.13 and later; nothing a user could act on
    r"`isinstance\(treespec, LeafSpec\)` is deprecated.*",
)


@contextmanager
def contained_lightning() -> Iterator[None]:
    """Within, Lightning logs errors only, and its expected warnings are not shown; all others are.

    Afterwards, torch is as deterministic as it was before.
    """
    deterministic = torch.are_deterministic_algorithms_enabled()
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
