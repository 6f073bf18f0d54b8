"""Suppress Lightning's hints, and restore the global settings that it changes."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

EXPECTED_WARNINGS = (
    # deliberate: for data in memory
    r".*does not have many workers which may be a bottleneck.*",
    # the metrics are summed over the devices before they are logged
    r".*It is recommended to use `self.log\(.*sync_dist=True.*",
    # from Lightning 2.6 itself, under torch 2.13 and later
    r"`isinstance\(treespec, LeafSpec\)` is deprecated.*",
)


@contextmanager
def contained_lightning() -> Iterator[None]:
    """Within the block, hide Lightning's log lines below errors and its expected warnings.

    Afterwards torch's deterministic mode is restored.
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
