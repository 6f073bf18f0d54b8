"""Exactness: the largest errors in the tests of equivariance, of the authors' numbers and of timm's.

    python benchmarks/exactness.py --out runs/exactness.json

Runs the tests of layers, networks and checkpoints and records every relative error of `check_equivariance` in float64
that is within the tolerance, the largest over all exact elements of the group, and the deviations from the authors'
numbers and from timm's that tests record as properties. Calls that are expected to fail (configurations that break
equivariance) are excluded, because their errors are above the tolerance.
"""

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv import testing
from attentive_gconv.files import write_json
from provenance import published_environment

ROOT = Path(__file__).parents[1]
TESTS = [
    *("tests/functional/definition/test_general_attention.py", "tests/functional/test_theorem.py"),
    *("tests/nn/test_equivariance.py", "tests/nn/test_equivariance_limits.py", "tests/nn/attention"),
    *("tests/models", "tests/checkpoints/test_reference.py"),
]
TOLERANCE = testing.TOLERANCE[torch.float64]


class Recorder:
    """A plugin of pytest: the errors that each test saw and passed with."""

    def __init__(self) -> None:
        self.equivariance: dict[str, list[float]] = defaultdict(list)
        self.deviations: dict[str, dict[str, float]] = {}
        self._seen: list[float] = []
        self._check = testing.check_equivariance

    def check(self, module: Any, group: Any, x: torch.Tensor, *tolerances: Any, **named: Any) -> torch.Tensor:
        """`check_equivariance`, with a note of the largest error of exact elements."""
        errors = self._check(module, group, x, *tolerances, **named)
        if x.dtype == torch.float64 and (largest := errors.exact.max()) <= TOLERANCE:
            self._seen.append(float(largest))
        return errors

    def pytest_sessionstart(self) -> None:
        """Put the note-taking where `assert_equivariant` and the tests look the check up when they call it."""
        testing.check_equivariance = ag.check_equivariance = self.check

    def pytest_sessionfinish(self) -> None:
        """Leave the library as it was."""
        testing.check_equivariance = ag.check_equivariance = self._check

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test saw, if it passed."""
        if report.when != "call":
            return
        seen, self._seen = self._seen, []
        if report.passed:
            if seen:
                self.equivariance[report.nodeid.partition("::")[0]] += seen
            if report.user_properties:
                name = report.nodeid.partition("::")[2]
                if name in self.deviations:
                    raise ValueError(f"two tests that record deviations are called {name}: rename one")
                self.deviations[name] = dict(report.user_properties)


def main() -> None:
    """Run the tests and write what they saw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("tests", nargs="*", default=TESTS, help=f"which tests {TESTS}")
    arguments = parser.parse_args()
    # without the authors' material their deviations would be missing from the file
    os.environ["AGCONV_REQUIRE_REFERENCE"] = "1"
    recorder = Recorder()
    options = ["--rootdir", str(ROOT), "-q", "-n", "0", "-p", "no:cacheprovider"]
    if status := pytest.main([*options, *(str(ROOT / test) for test in arguments.tests)], plugins=[recorder]):
        raise SystemExit(f"the tests did not pass (pytest's status {int(status)}); nothing was written")
    by_file = {
        path: {"checks": len(errors), "largest_relative_error": max(errors)}
        for path, errors in sorted(recorder.equivariance.items())
    }
    figures = {"equivariance_float64": by_file, "recorded_deviations": recorder.deviations}
    write_json(arguments.out, {**figures, "environment": published_environment()})
    for path, row in by_file.items():
        print(f"{path:<45} {row['checks']:>5} checks  {row['largest_relative_error']:.1e}")
    for test, values in recorder.deviations.items():
        print(f"{test}: {', '.join(f'{name} {value:.1e}' for name, value in values.items())}")


if __name__ == "__main__":
    main()
