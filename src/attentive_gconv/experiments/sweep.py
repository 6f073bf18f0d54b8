"""Grids of runs: finished runs are taken, interrupted ones resumed, missing ones trained."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from attentive_gconv.checkpoints.run_files import RunFolderError, read_json
from attentive_gconv.training.config import TrainConfig
from attentive_gconv.training.parsing import config_to_mapping
from attentive_gconv.training.recipe import flatten
from attentive_gconv.training.run_folder import RunFolder
from attentive_gconv.yaml_settings import dump_settings

# what may differ between a run that is there and the one that is wanted: where and on what it runs
PLACES = ("accelerator", "devices", "num_nodes", "strategy", "workers", "dataset.dir", "dataset.folder")

Result = dict[str, Any]

# seconds between looks at the processes
_PAUSE = 0.2


@dataclass(frozen=True)
class Job:
    """A run that is wanted: what it is called, its settings and its folder."""

    label: str
    config: TrainConfig
    folder: RunFolder


def finished(job: Job) -> Result | None:
    """The result of a run that is complete; None if there is something left to do.

    Raises:
        RunFolderError: if the folder holds another run: other settings, or another protocol.
    """
    if not job.folder.config_file.exists():
        return None
    stored, wanted = (flatten(config_to_mapping(config)) for config in (job.folder.read_config(), job.config))
    if wanted["dataset.source"] == "auto":
        # a run's own settings name the source that was found
        wanted["dataset.source"] = stored["dataset.source"]
    for field in sorted(stored.keys() | wanted.keys()):
        if field not in PLACES and stored.get(field) != wanted.get(field):
            raise RunFolderError(
                f"{job.folder.path} holds a run with {field} {stored.get(field)}, not {wanted.get(field)}: "
                "give another --out"
            )
    return read_json(job.folder.result_file) if job.folder.result_file.exists() else None


def finish(job: Job, console: Console) -> Result:
    """The result of a run: the finished one's, the continued one's, or a new one's.

    Raises:
        RunFolderError: if the folder holds another run.
    """
    result = finished(job)
    if result is None:
        from attentive_gconv.training import runner

        console.print(f"\n{job.label}", highlight=False, markup=False)
        if job.folder.config_file.exists():
            runner.resume(job.folder.path, console=console)
        else:
            runner.train(job.config, job.folder.path, console=console)
        result = read_json(job.folder.result_file)
    return result


def finish_all(
    jobs: Sequence[Job], console: Console, *, at_once: int, report: Callable[[Job, Result], None]
) -> list[tuple[Job, str]]:
    """Finish many runs, several at once where there are several devices.

    Args:
        jobs: the runs.
        console: where progress is printed.
        at_once: how many run at the same time. One runs in this process; several have a process each, on a GPU of its
            own as long as there are enough, and what it prints goes to a ``.log`` file beside its run folder.
        report: called in this process with every result, as soon as it is there.

    Returns:
        The runs that failed, and why. A failure does not keep the others from being finished.

    Raises:
        RunFolderError: if a folder holds another run; nothing is trained then.
    """
    # before anything is trained, so that a table is not found to be mixed after days
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
            console.print(f"failed: {job.label}: {error}", highlight=False, markup=False)
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
                    console.print(f"started: {job.label}", highlight=False, markup=False)
                    running.append((_start(job, place, Path(recipes)), job, place))
                time.sleep(_PAUSE)
                for entry in [entry for entry in running if entry[0].poll() is not None]:
                    child, job, place = entry
                    running.remove(entry)
                    free.append(place)
                    result = None if child.returncode else finished(job)
                    if result is None:
                        failures.append((job, f"status {child.returncode}; {_log(job)} holds what it printed"))
                        console.print(f"failed: {job.label}, see {_log(job)}", highlight=False, markup=False)
                    else:
                        console.print(f"finished: {job.label}", highlight=False, markup=False)
                        report(job, result)
        finally:
            # where this ends early; what they have done so far can be resumed
            for child, _, _ in running:
                child.terminate()
            for child, _, _ in running:
                child.wait()
    return failures


def _place(number: int, at_once: int) -> dict[str, str]:
    """The environment of a process: a GPU of its own, or its share of the processor's cores."""
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
    """How many runs can go on at once: one on each GPU, or one on the processor."""
    return max(1, torch.cuda.device_count())
