"""Run measurements, each in a fresh worker process."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attentive_gconv.bench.allocators import allocator_environment
from attentive_gconv.bench.cases import Case
from attentive_gconv.bench.instructions import instructions_environment
from attentive_gconv.bench.measured import Figure
from attentive_gconv.bench.steps import WHAT
from attentive_gconv.bench.timing import MIN_SECONDS, ratios
from attentive_gconv.lookup import find


class BenchmarkError(RuntimeError):
    """A worker process ended without a result."""


@dataclass(frozen=True)
class Comparison:
    """Cases that are measured in the same rounds; the first is the baseline if ``has_baseline`` is set."""

    cases: tuple[Case, ...]
    has_baseline: bool = False


@dataclass(frozen=True)
class Measurement:
    """A quantity to measure, a setting of the allocator, and an instruction set."""

    what: str
    allocator: str = "default"
    instructions: str = "native"

    def figure(self, case: Case, **values: Any) -> Figure:
        """A figure of a case, without samples."""
        return Figure(case, self.what, self.allocator, self.instructions, **values)


@dataclass(frozen=True)
class Protocol:
    """Numbers of repetitions, and of threads (None for PyTorch's default).

    Peak memory is that of `steps` training steps; in the second one the optimizer has its state.
    """

    repeats: int = 11
    warmup: int = 2
    min_seconds: float = MIN_SECONDS
    memory_repeats: int = 1
    steps: int = 2
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("repeats", "memory_repeats", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"--threads {self.threads}: must be at least 1")
        if self.warmup < 0:
            raise ValueError(f"`warmup` (={self.warmup}) must be at least 0")


def measure(
    comparisons: Iterable[Comparison],
    measurements: Sequence[Measurement],
    protocol: Protocol,
    report: Callable[[str], None] = lambda line: None,
) -> list[Figure]:
    """Run all measurements; a case that fails is a figure with an error.

    Args:
        comparisons: cases to measure side by side.
        measurements: quantities to measure for each comparison.
        protocol: numbers of repetitions.
        report: called with a line before each measurement.

    Raises:
        ValueError: if a case, allocator or instruction set is not available, before anything is measured.
    """
    comparisons = list(comparisons)
    for comparison in comparisons:
        for case in comparison.cases:
            case.check()
    for measurement in measurements:
        find("measurement", measurement.what, WHAT)
        worker_environment(measurement.allocator, measurement.instructions)
    found: list[Figure] = []
    for comparison in comparisons:
        for measurement in measurements:
            first = comparison.cases[0]
            names = ", ".join(case.label() for case in comparison.cases)
            setting = f"allocator {measurement.allocator}, {measurement.instructions} instructions"
            report(f"{measurement.what}, batch {first.batch}, {setting}: {names}")
            take = _memory if measurement.what == "memory" else _times
            found += take(comparison, measurement, protocol)
    return found


def _times(comparison: Comparison, measurement: Measurement, protocol: Protocol) -> list[Figure]:
    job = {
        "task": "time",
        "cases": [case.to_mapping() for case in comparison.cases],
        "what": measurement.what,
        "repeats": protocol.repeats,
        "warmup": protocol.warmup,
        "min_seconds": protocol.min_seconds,
        "threads": protocol.threads,
    }
    try:
        samples = run_worker(job, measurement.allocator, measurement.instructions)["samples"]
    except BenchmarkError as error:
        samples = [{"error": str(error)}] * len(comparison.cases)
    baseline = samples[0].get("seconds") if comparison.has_baseline else None
    figures = []
    for index, (case, sample) in enumerate(zip(comparison.cases, samples, strict=True)):
        figure = measurement.figure(case)
        if (message := sample.get("error")) is not None:
            figures.append(figure.failed(message))
            continue
        figure.samples, figure.calls, figure.page_faults = sample["seconds"], sample["calls"], sample["faults"]
        if index and baseline is not None:
            figure.baseline = comparison.cases[0].label()
            figure.ratio = ratios(sample["seconds"], baseline)
        figures.append(figure)
    return figures


def _memory(comparison: Comparison, measurement: Measurement, protocol: Protocol) -> list[Figure]:
    figures = [_peaks(case, measurement, protocol) for case in comparison.cases]
    first = figures[0]
    if comparison.has_baseline and first.error is None:
        for figure in figures[1:]:
            figure.baseline = first.case.label()
            if figure.error is None:
                figure.extra = figure.quartiles.median - first.quartiles.median
                figure.ratio = ratios(figure.samples, first.samples) if min(first.samples) > 0 else None
    return figures


def _peaks(case: Case, measurement: Measurement, protocol: Protocol) -> Figure:
    figure = measurement.figure(case, unit="B")
    job = {"task": "memory", "cases": [case.to_mapping()], "steps": protocol.steps, "threads": protocol.threads}
    for _ in range(protocol.memory_repeats):
        try:
            result = run_worker(job, measurement.allocator, measurement.instructions)
        except BenchmarkError as error:
            return figure.failed(str(error))
        if (message := result.get("error")) is not None:
            return figure.failed(message)
        figure.samples.append(result["bytes"])
        figure.method = result["method"]
    return figure


def worker_environment(allocator: str, instructions: str) -> dict[str, str]:
    """Additional environment variables of a worker process.

    Raises:
        ValueError: if the allocator's setting or the instruction set is not available here.
    """
    return {**allocator_environment(allocator), **instructions_environment(instructions)}


def run_worker(job: dict[str, Any], allocator: str = "default", instructions: str = "native") -> dict[str, Any]:
    """Run a job in a fresh process.

    Raises:
        BenchmarkError: if it ends without a result; the message holds the last line of its output.
    """
    # the worker finds the same modules as this process, such as other implementations
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    environment = {**os.environ, "PYTHONPATH": path, **worker_environment(allocator, instructions)}
    with tempfile.TemporaryDirectory(prefix="agconv-bench-") as folder:
        request, answer = Path(folder) / "job.json", Path(folder) / "result.json"
        request.write_text(json.dumps(job), encoding="utf-8")
        command = [sys.executable, "-m", "attentive_gconv.bench.worker", str(request), str(answer)]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace")
        if done.returncode == 0 and answer.is_file():
            sys.stderr.write(done.stderr)
            result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
            return result
    if done.returncode == -getattr(signal, "SIGKILL", 9):
        raise BenchmarkError("killed by the system, probably for lack of memory: take a smaller batch")
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    raise BenchmarkError(f"ended with status {done.returncode}: {last}")
