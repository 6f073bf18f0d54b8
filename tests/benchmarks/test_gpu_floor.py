"""The page of the GPU's floor holds what the script computes, and the script counts what the operation does."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def floor() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_floor", FOLDER / "gpu_floor.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(floor):
    page = (FOLDER / "gpu_floor.md").read_text(encoding="utf-8")
    assert floor.table(floor.costs(128), floor.Device()) in page


def test_multiply_adds_of_a_layer(floor):
    c2 = {c.name: c for c in floor.costs(2)}["c2"]
    f = 2 * (48 * 4) * (48 * 4) * 32 * 32
    assert c2.plain_macs == 3 * f * 9
    assert c2.macs == 5 * f * 9 + 6 * (f / 48) * 49
