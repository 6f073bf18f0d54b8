"""The script that notes how exact the tests find the library: what it keeps, and what it leaves out."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import attentive_gconv as ag

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "exactness.py"))


@pytest.fixture
def recorder():
    recorder = SCRIPT["Recorder"]()
    recorder.pytest_sessionstart()
    yield recorder
    recorder.pytest_sessionfinish()


def report(**values: object) -> SimpleNamespace:
    return SimpleNamespace(**{"when": "call", "passed": True, "nodeid": "a.py::test", "user_properties": []} | values)


def check(layer: torch.nn.Module, size: int = 6, dtype: torch.dtype = torch.float64) -> None:
    ag.testing.assert_equivariant(layer.to(dtype), "p4", torch.randn(1, 1, size, size, dtype=dtype))


def test_errors_of_a_passed_test_are_kept(recorder):
    for size in (5, 6):
        check(ag.nn.LiftingConv2d("p4", 1, 2, 3), size)
    recorder.pytest_runtest_logreport(report())
    (errors,) = recorder.equivariance.values()
    assert list(recorder.equivariance) == ["a.py"]
    assert len(errors) == 2
    assert all(0 <= error <= 1e-10 for error in errors)


def test_what_is_meant_to_fail_and_other_dtypes_are_left_out(recorder):
    with pytest.raises(AssertionError, match="not equivariant"):
        check(ag.nn.LiftingConv2d("p4", 1, 2, 3, stride=2))
    check(ag.nn.LiftingConv2d("p4", 1, 2, 3), dtype=torch.float32)
    recorder.pytest_runtest_logreport(report())
    assert not recorder.equivariance


def test_what_a_failed_test_saw_is_dropped(recorder):
    check(ag.nn.LiftingConv2d("p4", 1, 2, 3))
    recorder.pytest_runtest_logreport(report(passed=False))
    recorder.pytest_runtest_logreport(report(nodeid="a.py::other"))
    assert not recorder.equivariance


def test_recorded_deviations_are_kept(recorder):
    recorder.pytest_runtest_logreport(report(user_properties=[("logits", 1e-6)]))
    assert recorder.deviations == {"test": {"logits": 1e-6}}


def test_the_library_is_left_as_it_was():
    before = ag.testing.check_equivariance
    recorder = SCRIPT["Recorder"]()
    recorder.pytest_sessionstart()
    assert ag.testing.check_equivariance != before
    recorder.pytest_sessionfinish()
    assert ag.testing.check_equivariance is before


def test_the_tests_that_it_runs_exist():
    """One had moved, so that the command of docs/results.md ended with an error of pytest."""
    assert [path for path in SCRIPT["TESTS"] if not (SCRIPT["ROOT"] / path).exists()] == []
