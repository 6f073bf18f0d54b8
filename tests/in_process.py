"""Benchmarks without their processes: jobs are done in this one; and a small other implementation."""

import json
from pathlib import Path
from typing import Any

import pytest

from attentive_gconv.bench import jobs
from attentive_gconv.bench.worker import perform

PEER = """
import os, signal
import torch
import attentive_gconv as ag
from attentive_gconv.models.blocks import convolution

def definition(name, sizes):
    if name == "p4cnn":
        return None
    if sizes["kind"] == "network":
        model = ag.create_model(name)
    else:
        size = [sizes[key] for key in ("in_channels", "out_channels", "kernel_size")]
        lifting = sizes["kind"] == "lifting"
        group = ag.group(sizes["group"])
        model = convolution(group, *size, attention=name, lifting=lifting, padding=sizes["padding"])
    ag.nn.configure_attention(model, method="definition")
    return model

class Hog(torch.nn.Module):
    '''Takes 50 MB an image for a moment.'''
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(10))
    def forward(self, x):
        waste = torch.ones(len(x), 12_500_000)
        return waste[:, :1] * self.weight

def hog(name, sizes):
    return Hog()

def wrong_shape(name, sizes):
    return torch.nn.Sequential(torch.nn.Flatten(1), torch.nn.Linear(784, 3))

def broken(name, sizes):
    raise KeyError("no such option")

def killed(name, sizes):
    os.kill(os.getpid(), signal.SIGKILL)

def no_module(name, sizes):
    return 3

not_callable = 1
"""


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], str]]:
    """Jobs are done here and now; the list holds each job and its allocator."""
    done: list[tuple[dict[str, Any], str]] = []

    def run(job: dict[str, Any], allocator: str = "default", instructions: str = "native") -> dict[str, Any]:
        done.append((job, allocator))
        result: dict[str, Any] = json.loads(json.dumps(perform(json.loads(json.dumps(job)))))
        return result

    monkeypatch.setattr(jobs, "run_worker", run)
    return done


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that holds factories."""
    name = f"peer_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(PEER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return name
