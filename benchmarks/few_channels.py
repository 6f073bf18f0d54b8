"""The gradient of the input of `conv2d` with few channels: our two forms beside the library's kernel.

    python benchmarks/few_channels.py --rounds 21 --out benchmarks/results/few-channels.json

Gradients alone, in float32, interleaved as in benchmarks/README.md; their values are compared first. The shapes are
those of layers that take the forms: convolutions of 2 statistics in earlier spatial attention, first layers of
α_F-networks (whose input is an attended image), narrow group layers.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from attentive_gconv.bench.timing import quartiles, ratios, time_interleaved
from attentive_gconv.files import write_json
from attentive_gconv.functional.fast.conv2d import MAX_CHANNELS, MAX_COLUMNS, input_gradient, library_input_gradient
from provenance import published_environment

# what it is: batch, input channels, output channels, side, k, padding
SHAPES = {
    "spatial attention of p4 maps, 7x7": (64, 8, 4, 26, 7, 3),
    "planar spatial attention, 7x7": (64, 2, 1, 28, 7, 3),
    "c1 of alpha_f_p4cnn": (128, 1, 40, 28, 3, 0),
    "c1 of alpha_f_p4_allcnnc": (128, 3, 192, 32, 3, 1),
    "a group layer of 4 channels, p4": (64, 16, 16, 26, 3, 1),
}


def measure(name: str, rounds: int) -> dict[str, Any]:
    """One row: seconds of both, and the ratio ours / the library's."""
    batch, inputs, outputs, side, k, padding = SHAPES[name]
    out_side = side + 2 * padding - k + 1
    grad = torch.randn(batch, outputs, out_side, out_side)
    weight = torch.randn(outputs, inputs, k, k)
    arguments = (grad, torch.Size((batch, inputs, side, side)), weight, (padding, padding), (1, 1))
    torch.testing.assert_close(input_gradient(*arguments), library_input_gradient(*arguments), rtol=1e-3, atol=1e-3)
    functions = (library_input_gradient, input_gradient)
    library, ours = time_interleaved([lambda f=f: f(*arguments) for f in functions], repeats=rounds, warmup=2)
    return {
        "name": name,
        "shape": SHAPES[name],
        "form": "correlation" if max(inputs, outputs) <= MAX_CHANNELS else "columns",
        "library_seconds": quartiles(library.seconds)._asdict(),
        "seconds": quartiles(ours.seconds)._asdict(),
        "ratio": ratios(ours.seconds, library.seconds)._asdict(),
    }


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=21, help="rounds of timing (default: 21)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    if arguments.rounds < 3:
        parser.error(f"--rounds (={arguments.rounds}) must be at least 3")
    torch.manual_seed(0)
    rows = []
    for name in SHAPES:
        rows.append(measure(name, arguments.rounds))
        print(name, rows[-1]["form"], *(f"{value:.2f}" for value in rows[-1]["ratio"].values()))
    report = {
        "environment": published_environment(),
        "limits": {"channels": MAX_CHANNELS, "columns": MAX_COLUMNS},
        "rows": rows,
    }
    if arguments.out is not None:
        write_json(arguments.out, report)


if __name__ == "__main__":
    main()
