"""Kernels on threads: every task once, the same results however they are shared, errors that reach the caller."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attentive_gconv.functional.fast.numba_runtime import threads

numba = pytest.importorskip("numba")

from attentive_gconv.functional.fast.numba_runtime.regions import Run, run_region  # noqa: E402


@numba.njit(nogil=True)
def _count(chunk: int, start: int, stop: int, times: Any, chunks: Any, limit: int) -> None:
    if stop > limit:
        raise ValueError("too far")
    for task in range(start, stop):
        times[task] += 1
        chunks[task] = chunk


@numba.njit(nogil=True)
def count(run: Run, *arguments: Any) -> None:
    run_region(_count, run, arguments)


@pytest.fixture(params=[1, 2, 3])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(params=["OpenMP", "own threads"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "own threads":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        maps = Path("/proc/self/maps")
        assert not (maps.exists() and "libgomp" in maps.read_text(encoding="utf-8")), "OpenMP is loaded and not found"
        pytest.skip("PyTorch has not loaded GNU's OpenMP here")
    assert ("own" in threads.thread_source()) == ("own" in request.param)


@pytest.mark.parametrize(("tasks", "chunks"), [(1, 1), (7, 3), (3, 7), (100, 16)])
def test_every_task_once(tasks, chunks, number, source):
    times, whose = np.zeros(tasks, np.int64), np.zeros(tasks, np.int64)
    threads.run_chunks(count, tasks, chunks, times, whose, tasks)
    assert (times == 1).all()
    assert (np.diff(whose) >= 0).all()
    assert len(set(whose)) == min(tasks, chunks)


def test_an_error_in_a_kernel_reaches_the_caller(number, source):
    times, whose = np.zeros(8, np.int64), np.zeros(8, np.int64)
    with pytest.raises(RuntimeError, match="a compiled kernel failed"):
        threads.run_chunks(count, 8, 4, times, whose, 6)
    threads.run_chunks(count, 8, 4, times, whose, 8)
    assert times.min() > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which Windows does not have")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_threads(monkeypatch):
    monkeypatch.setattr(threads.torch, "get_num_threads", lambda: 2)
    done = np.zeros(8, np.int64)
    threads.run_chunks(count, 8, 8, done, np.zeros(8, np.int64), 8)
    child = os.fork()
    if child == 0:
        threads.run_chunks(count, 8, 8, done, np.zeros(8, np.int64), 8)
        os._exit(int((done != 2).any()))
    for _ in range(600):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the child waits")
    assert status == 0
