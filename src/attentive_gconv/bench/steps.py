"""The measured functions: a training step or an inference pass.

Training step of a network: zero gradients, forward, cross-entropy, backward, a step of Adam. The learning rate is 0, so
that every repetition computes the same. Training step of a layer: zero gradients, forward, and backward from a given
gradient to the weights and the input; a lifting layer is the first of its network, and its input needs no gradient.
Inference: eval mode without gradients; transformed kernels are cached from the first pass on.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.bench.cases import SEED, Case, build
from attentive_gconv.lookup import find

WHAT = {
    "train": "seconds of a training step",
    "inference": "seconds of an inference pass",
    "memory": "peak memory of a training step, in bytes",
}


def prepare(case: Case, what: str) -> Callable[[], None]:
    """Make a function that runs the step or pass once; it does not wait for the device."""
    find("measurement", what, WHAT)
    module, x = build(case)
    if what == "inference":
        return _inference(case, module.eval(), x)
    module.train()
    return _network_step(case, module, x) if case.kind == "network" else _layer_step(case, module, x)


def arithmetic(case: Case) -> AbstractContextManager[Any]:
    """Autocast to the case's dtype, or nothing."""
    dtype: torch.dtype = getattr(torch, case.dtype)
    return torch.autocast(torch.device(case.device).type, dtype) if dtype.itemsize < 4 else nullcontext()


def _inference(case: Case, module: nn.Module, x: Tensor) -> Callable[[], None]:
    def infer() -> None:
        with torch.no_grad(), arithmetic(case):
            module(x)

    return infer


def _network_step(case: Case, module: nn.Module, x: Tensor) -> Callable[[], None]:
    classes = case.sizes()["num_classes"]
    target = torch.randint(classes, (case.batch,), generator=torch.Generator().manual_seed(SEED)).to(x.device)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.0)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with arithmetic(case):
            loss = F.cross_entropy(module(x), target)
        loss.backward()
        optimizer.step()

    return step


def _layer_step(case: Case, module: nn.Module, x: Tensor) -> Callable[[], None]:
    x.requires_grad_(case.kind == "group")
    gradient: list[Tensor] = []

    def step() -> None:
        module.zero_grad(set_to_none=True)
        x.grad = None
        with arithmetic(case):
            out = module(x)
        if not gradient:
            gradient.append(torch.randn_like(out))
        out.backward(gradient[0])

    return step
