"""Ablation of the hand-written CPU code of a network with input attention: with and without it, in one run.

    python benchmarks/ablation.py --rounds 15 --out benchmarks/results/ablation.json

Candidates, interleaved as in benchmarks/README.md: everything; without the compiled input attention (its definition in
PyTorch instead); without the input gradient for few channels (`conv2d`'s own instead); without max pooling by slices
(PyTorch's `max_pool2d` instead); without all three. Training steps and inference of the α_F-network at several batch
sizes. The values are compared first.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from attentive_gconv import create_model
from attentive_gconv.bench.timing import quartiles, ratios, time_interleaved
from attentive_gconv.files import write_json
from attentive_gconv.functional.fast import dispatch
from provenance import published_environment

CANDIDATES = {
    "everything": (),
    "without compiled input attention": ("is_compiled_on_cpu",),
    "without gradients for few channels": ("takes_custom_conv2d",),
    "without max pooling by slices": ("takes_maxima_of_slices",),
    "without all": ("is_compiled_on_cpu", "takes_custom_conv2d", "takes_maxima_of_slices"),
}
BATCHES = (1, 16, 128)


@contextmanager
def without(rules: tuple[str, ...]) -> Iterator[None]:
    """The library with these dispatch rules disabled."""
    switched_off = [patch.object(dispatch, rule, lambda *_: False) for rule in rules]
    for one in switched_off:
        one.start()
    try:
        yield
    finally:
        for one in switched_off:
            one.stop()


def work(model: nn.Module, batch: int, train: bool) -> Callable[[], torch.Tensor]:
    """A training step without its optimizer, or one inference; returns the loss or the logits."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(batch, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (batch,), generator=generator)

    def step() -> torch.Tensor:
        model.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return loss.detach()

    def infer() -> torch.Tensor:
        with torch.inference_mode():
            return model(images)

    return step if train else infer


def measure(model_name: str, batch: int, train: bool, rounds: int) -> dict[str, Any]:
    """One row: seconds of every candidate, and its ratio to everything."""
    torch.manual_seed(0)
    model = create_model(model_name, dropout=0.0).train(train)
    call = work(model, batch, train)

    def timed(rules: tuple[str, ...]) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            with without(rules):
                return call()

        return run

    functions = [timed(rules) for rules in CANDIDATES.values()]
    values = [function() for function in functions]
    for value in values[1:]:
        torch.testing.assert_close(value, values[0], rtol=1e-3, atol=1e-3)
    times = time_interleaved(functions, repeats=rounds, warmup=2)
    return {
        "model": model_name,
        "batch": batch,
        "work": "training step" if train else "inference",
        "seconds": {n: quartiles(t.seconds)._asdict() for n, t in zip(CANDIDATES, times, strict=True)},
        "ratios": {n: ratios(t.seconds, times[0].seconds)._asdict() for n, t in zip(CANDIDATES, times, strict=True)},
    }


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="alpha_f_p4cnn", help="network (default: alpha_f_p4cnn)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of timing (default: 15)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    if arguments.rounds < 3:
        parser.error(f"--rounds (={arguments.rounds}) must be at least 3")
    rows = []
    for train in (True, False):
        for batch in BATCHES:
            rows.append(measure(arguments.model, batch, train, arguments.rounds))
            found = rows[-1]["ratios"].items()
            print(rows[-1]["work"], batch, *(f"{name}: {ratio['median']:.2f}" for name, ratio in found), sep="  ")
    if arguments.out is not None:
        report = {"environment": published_environment(), "rounds": arguments.rounds, "rows": rows}
        write_json(arguments.out, report)


if __name__ == "__main__":
    main()
