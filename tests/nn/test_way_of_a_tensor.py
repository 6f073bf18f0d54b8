"""The way of a tensor through full attention, see ARCHITECTURE.md: few files, and no call from functional/ to nn/."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

import attentive_gconv as ag

PACKAGE = Path(ag.__file__).parent


def module_of(frame: FrameType | None) -> str | None:
    """The file of the package that a frame runs; None for others, and for compiled kernels, which look like frames."""
    path = Path(frame.f_code.co_filename) if frame is not None else Path()
    inside = PACKAGE in path.parents and "kernels" not in path.stem
    return path.relative_to(PACKAGE).as_posix() if inside else None


def tensors_in(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from tensors_in(value)


def traced(layer: torch.nn.Module, x: Tensor) -> tuple[set[str], set[str], set[tuple[str, str]]]:
    """The files that run, those that get x (or a view of it), and the calls between files."""
    run, passed, calls = set(), set(), set()
    memory = x.untyped_storage().data_ptr()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or (module := module_of(frame)) is None:
            return
        run.add(module)
        if any(tensor.untyped_storage().data_ptr() == memory for tensor in tensors_in(frame.f_locals.values())):
            passed.add(module)
        caller = frame.f_back
        while caller is not None and module_of(caller) is None:
            caller = caller.f_back
        calls.add((module_of(caller) or "", module))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        layer(x)
    finally:
        sys.setprofile(before)
    return run, passed, calls


def test_a_forward_pass_in_training() -> None:
    layer = ag.nn.AttentiveGroupConv2d("p4", 4, 4, 3, padding=1, bias=True)
    x = torch.randn(2, 4, 4, 9, 9, requires_grad=True)
    layer(x)  # compiles, and fills caches
    run, passed, calls = traced(layer, x)
    assert "nn/attentive_conv.py" in passed
    assert "functional/operations.py" in passed
    assert len(passed) <= 8, sorted(passed)
    assert len(run) <= 14, sorted(run)
    upward = {(caller, called) for caller, called in calls if caller.startswith("functional") and "nn/" in called}
    assert not upward
