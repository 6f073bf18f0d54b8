"""Shared fixtures: the reference material beside the checkout, and one torch thread a worker."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

SHARED = Path(os.environ.get("AGCONV_SHARED", Path(__file__).resolve().parents[2] / "shared"))

# the same examples on every machine, and no deadline: machines differ in speed
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


def shared_path(name: str) -> Path:
    """A file of the unpublished reference material; without it the test skips, and in CI it fails."""
    path = SHARED / name
    if not path.exists():
        message = f"needs {name} of the unpublished reference material, which is not beside this checkout"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The authors' released checkpoints and outputs."""
    return shared_path("reference")


@pytest.fixture(scope="session")
def shared_data_dir() -> Path:
    """MNIST's IDX files and the JPEG copy of CIFAR-10."""
    return shared_path("data")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
