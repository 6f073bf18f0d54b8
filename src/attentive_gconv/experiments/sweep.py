"""Grids of runs: finished runs are kept, interrupted ones resumed, missing ones trained."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from attentive_gconv.checkpoints.run_files import RunFolderError, read_json
from attentive_gconv.settings import dataclass_from_mapping
from attentive_gconv.training.config import PLACES, TrainConfig
from attentive_gconv.training.parsing import config_to_mapping
from attentive_gconv.training.printing import print_plain
from attentive_gconv.training.recipe import flatten
from attentive_gconv.training.run_folder import RunFolder
from attentive_gconv.training.run_result import TrainResult
from attentive_gconv.yaml_settings import dump_settings

Result = dict[str, Any]

# seconds between polls of the processes
_PAUSE = 0.2


@dataclass(frozen=True)
class Job:
    """A run of the grid: its label, settings and folder."""

    label: str
    config: TrainConfig
    folder: RunFolder


def finished(job: Job) -> Result | None:
    """The result of a finished run; None if it is interrupted or missing.

    Raises:
        RunFolderError: if the folder holds a run with other settings, or its result is damaged.
    """
    if not job.folder.config_file.exists():
        return None
    stored, wanted = (flatten(config_to_mapping(config)) for config in (job.folder.read_config(), job.config))
    if wanted["dataset.source"] == "auto":
        # stored settings name the source that was found
        wanted["dataset.source"] = stored["dataset.source"]
    for field in sorted(stored.keys() | wanted.keys()):
        if field not in PLACES and stored.get(field) != wanted.get(field):
            raise RunFolderError(
                f"{job.folder.path} holds a run with {field} {stored.get(field)}, not {wanted.get(field)}: "
                "give another --out"
            )
    return _read_result(job.folder) if job.folder.result_file.exists() else None


def _read_result(folder: RunFolder) -> Result:
    result = read_json(folder.result_file)
    names = [field.name for field in fields(TrainResult)]
    if missing := [name for name in names if name not in result]:
        raise RunFolderError(f"{folder.result_file} is not a result of this version: it has no {', '.join(missing)}")
    try:
        dataclass_from_mapping(TrainResult, {name: result[name] for name in names})
    except ValueError as error:
        raise RunFolderError(f"{folder.result_file} is not a result of this version: {error}") from error
    return result


def finish(job: Job, console: Console) -> Result:
    """Finish a run, i.e. keep, resume or train it, and return its result.

    Raises:
        RunFolderError: if the folder holds a run with other settings.
    """
    result = finished(job)
    if result is None:
        from attentive_gconv.training import runner

        print_plain(console, f"\n{job.label}")
        if job.folder.config_file.exists():
            runner.resume(job.folder.path, console=console)
        else:
            runner.train(job.config, job.folder.path, console=console)
        result = _read_result(job.folder)
    return result


def finish_all(
    jobs: Sequence[Job], console: Console, *, at_once: int, report: Callable[[Job, Result], None]
) -> list[tuple[Job, str]]:
    """Finish a grid of runs, several at a time if there are several devices.

    Args:
        jobs: the runs.
        console: where progress is printed.
        at_once: number of concurrent runs. A single one runs in this process; several run in processes of their own,
            each on its own GPU if there are enough, with its output in a ``.log`` file beside the run folder.
        report: called in this process with every result.

    Returns:
        The runs that failed, and why. A failure does not stop the other runs.

    Raises:
        RunFolderError: if a folder holds a run with other settings; nothing is trained then.
    """
    # all folders are checked before anything is trained
    waiting = []
    for job in jobs:
        result = finished(job)
        if result is None:
            waiting.append(job)
        else:
            report(job, result)
    if at_once > 1:
        return _in_processes(waiting, console, at_once, report)
    failures = []
    for job in waiting:
        try:
            result = finish(job, console)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            failures.append((job, str(error) or type(error).__name__))
            print_plain(console, f"failed: {job.label}: {error}")
        else:
            report(job, result)
    return failures


def _in_processes(
    jobs: Sequence[Job], console: Console, at_once: int, report: Callable[[Job, Result], None]
) -> list[tuple[Job, str]]:
    waiting, failures = list(jobs), []
    free = [_place(number, at_once) for number in range(at_once)]
    running: list[tuple[subprocess.Popen, Job, dict[str, str]]] = []
    with tempfile.TemporaryDirectory() as recipes:
        try:
            while waiting or running:
                while waiting and free:
                    job, place = waiting.pop(0), free.pop(0)
                    print_plain(console, f"started: {job.label}")
                    running.append((_start(job, place, Path(recipes)), job, place))
                time.sleep(_PAUSE)
                for entry in [entry for entry in running if entry[0].poll() is not None]:
                    child, job, place = entry
                    running.remove(entry)
                    free.append(place)
                    result, reason = _outcome(child.returncode, job)
                    if result is None:
                        failures.append((job, reason))
                        print_plain(console, f"failed: {job.label}, see {_log(job)}")
                    else:
                        print_plain(console, f"finished: {job.label}")
                        report(job, result)
        finally:
            # if this process is interrupted; the runs can be resumed
            for child, _, _ in running:
                child.terminate()
            for child, _, _ in running:
                child.wait()
    return failures


def _outcome(status: int, job: Job) -> tuple[Result | None, str]:
    """The result of a run whose process has ended with this status, or None and what went wrong."""
    try:
        result = None if status else finished(job)
    except RunFolderError as error:
        return None, str(error)
    return result, f"status {status}; its output is in {_log(job)}"


def _place(number: int, at_once: int) -> dict[str, str]:
    """Environment variables of a process: its own GPU, or its share of the cores."""
    gpus = torch.cuda.device_count()
    if gpus:
        named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        visible = named.split(",") if named else [str(index) for index in range(gpus)]
        return {"CUDA_VISIBLE_DEVICES": visible[number % gpus]}
    return {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // at_once))}


def _log(job: Job) -> Path:
    return job.folder.path.with_name(f"{job.folder.path.name}.log")


def _start(job: Job, place: dict[str, str], recipes: Path) -> subprocess.Popen:
    arguments = ["--resume"]
    if not job.folder.config_file.exists():
        recipe = recipes / f"{job.folder.path.name}.yaml"
        recipe.write_text(dump_settings(config_to_mapping(job.config)), encoding="utf-8")
        arguments = ["--recipe", str(recipe)]
    arguments += [word for name in job.config.imports for word in ("--import", name)]
    command = [sys.executable, "-m", "attentive_gconv", "train", *arguments, "--out", str(job.folder.path)]
    job.folder.path.parent.mkdir(parents=True, exist_ok=True)
    with _log(job).open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **place})


def devices_at_hand() -> int:
    """Number of concurrent runs: one for each GPU, or one on the CPU."""
    return max(1, torch.cuda.device_count())
