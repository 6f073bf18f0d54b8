"""For the tests and for the examples in docstrings and pages alike."""

from collections.abc import Iterator

import pytest

from attentive_gconv.data import datasets
from attentive_gconv.models import registry


@pytest.fixture(autouse=True)
def _own_networks_are_forgotten() -> Iterator[None]:
    """An example may register a network under a name that the next one takes again."""
    registers = (registry._ENTRIES, datasets.DATASETS)
    before = [dict(register) for register in registers]
    yield
    for register, entries in zip(registers, before, strict=True):
        register.clear()
        register.update(entries)
