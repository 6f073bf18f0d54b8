"""Shared fixtures: the reference material, one torch thread a worker, the summary of what was skipped."""

import importlib.util
import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from requirements import required, unavailable

SHARED = Path(os.environ.get("AGCONV_SHARED", Path(__file__).resolve().parents[2] / "shared"))

# the same examples on every machine, and no deadline: machines differ in speed
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


# what tests import where it is installed
PACKAGES = (
    *("numba", "llvmlite", "triton", "timm", "h5py", "onnx", "onnxruntime", "onnxscript", "gradio", "playwright"),
    *("mkdocs", "nbformat", "nbclient", "jupyter_client", "hatchling"),
)


def pytest_configure() -> None:
    """With AGCONV_REQUIRE_DEV=1, fail without a package of the extra ``dev`` rather than skip its tests."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if required("DEV") and missing:
        raise pytest.UsageError(f"AGCONV_REQUIRE_DEV is set, and {', '.join(missing)} is missing: pip install '.[dev]'")


def shared_path(name: str) -> Path:
    """A file of the unpublished reference material; the test skips without it, unless it is required."""
    path = SHARED / name
    if not path.exists():
        unavailable(f"the unpublished reference material ({name}/ in AGCONV_SHARED, or in ../shared)", "REFERENCE")
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked as slow, unless AGCONV_SLOW=1 asks for it."""
    if os.environ.get("AGCONV_SLOW", "0") in ("", "0"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="is slow; AGCONV_SLOW=1 runs it"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was skipped and why, one line a reason."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped, and why")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count:4d}  {reason}")
