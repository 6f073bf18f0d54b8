"""A training that is killed at any file event can be resumed, and its result is that of an unbroken run.

A child process is forked and ends, without any clean-up, right before the n-th time that it makes, renames or removes
something in its run folder; for every n.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attentive_gconv.checkpoints.weights import load_weights
from attentive_gconv.files import is_partial
from attentive_gconv.training import RunFolder, TrainConfig, resume, train
from tiny import tiny_config

KILLED = 9
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")


def in_child(work: Callable[[], Any], folder: Path, at: int | None) -> tuple[int, int]:
    """Forks; in the child, works until the file event of that number. Returns its status and the events counted."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            changes = event in CHANGES or (event == "open" and arguments[2] & os.O_CREAT)
            if changes and str(arguments[0]).startswith(str(folder)):
                count += 1
                if count == at:
                    os._exit(KILLED)

        status = 1
        try:
            sys.addaudithook(watch)
            work()
            os.write(writer, str(count).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        events = int(pipe.read() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), events


def outcome(folder: RunFolder) -> dict[str, Any]:
    """All that a run leaves, apart from its times and places."""
    result = json.loads(folder.result_file.read_text())
    figures = {name: value for name, value in result.items() if name not in ("seconds_per_epoch", "sha256")}
    rows = [line.rpartition(",")[0] for line in folder.metrics_file.read_text().splitlines()]
    left: dict[str, Any] = {"result": figures, "metrics": rows, "config": folder.config_file.read_text()}
    for which in ("last", "best"):
        if folder.weights(which).exists():
            trained = load_weights(folder.weights(which))
            left[which] = trained.card, trained.module.state_dict()
        left[f"{which}.ckpt"] = folder.checkpoint(which).exists()
    with np.load(folder.predictions_file) as predictions:
        left["predictions"] = {name: predictions[name].tolist() for name in predictions}
    left["orphans"] = [path for path in folder.path.rglob("*") if is_partial(path)]
    return left


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for which in ("last", "best"):
        assert (which in found) == (which in wanted)
        if which in wanted:
            (card, state), (wanted_card, wanted_state) = found[which], wanted[which]
            assert card == wanted_card
            assert all(torch.equal(state[name], value) for name, value in wanted_state.items())
    assert {k: v for k, v in found.items() if k not in ("last", "best")} == {
        k: v for k, v in wanted.items() if k not in ("last", "best")
    }


def continued(config: TrainConfig, folder: Path) -> None:
    """What a user does after a kill: resume, or start again where nothing was trained."""
    if (folder / "config.yaml").exists():
        if not (folder / "result.json").exists():
            resume(folder)
    else:
        train(config, folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which Windows does not have")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["validation", "final", "paper"])
def test_a_kill_at_every_file_event_loses_nothing(tiny, tmp_path, protocol):
    config = tiny_config(epochs=2, protocol=protocol, ema_decay=0.5 if protocol == "final" else None)
    train(config, tmp_path / "whole")
    wanted = outcome(RunFolder(tmp_path / "whole"))
    status, events = in_child(lambda: train(config, tmp_path / "counted"), tmp_path / "counted", None)
    assert status == 0
    assert events > 20
    for event in range(1, events + 1):
        folder = tmp_path / f"run-{event}"
        status, _ = in_child(lambda folder=folder: train(config, folder), folder, event)
        assert status == KILLED
        continued(config, folder)
        assert_same(outcome(RunFolder(folder)), wanted)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which Windows does not have")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_kill_at_every_file_event_of_a_resumed_run_loses_nothing(tiny, tmp_path):
    """More epochs for a complete run: its old result must not stand for the new one."""
    config = tiny_config(epochs=1, protocol="paper")
    for name in ("whole", "counted"):
        train(config, tmp_path / name)
    resume(tmp_path / "whole", {"epochs": 2})
    wanted = outcome(RunFolder(tmp_path / "whole"))
    status, events = in_child(lambda: resume(tmp_path / "counted", {"epochs": 2}), tmp_path / "counted", None)
    assert status == 0
    assert events > 20
    for event in range(1, events + 1):
        folder = tmp_path / f"run-{event}"
        train(config, folder)
        status, _ = in_child(lambda folder=folder: resume(folder, {"epochs": 2}), folder, event)
        assert status == KILLED
        result = folder / "result.json"
        if not result.exists() or json.loads(result.read_text())["epochs"] == 1:
            resume(folder, {"epochs": 2})
        assert_same(outcome(RunFolder(folder)), wanted)
