"""Group convolution by irreducible representations beside conv2d of the expanded kernel, and the rule that chooses.

    python benchmarks/conv_forms.py --rounds 7 --threads 1 --clock cpu --out benchmarks/results/conv-forms.json
    python benchmarks/conv_forms.py --curve --threads 2 --allocator tuned --out benchmarks/results/conv-curve

Layers in float32 over groups, channels, kernel sizes, map sizes and batches: inference (kernels kept) and training
(forward and backward to input and weight), both forms in the same rounds as in benchmarks/README.md. ``--clock cpu``
counts processor time, on one thread the better measure on a busy machine. The constants of
`attentive_gconv.functional.fast.irreps_conv.form_rule` come from these figures (``--fit FILE``), and what the rule
costs where it chooses the slower form is printed.

``--curve``: fewer layers, for a quiet machine: 3 x 3 kernels over channels, and two large layers. ``--out`` is then a
folder, with a file for each number of threads and allocator; ``--table FOLDER`` prints them as Markdown.
"""

import argparse
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import least_squares

import attentive_gconv as ag
from attentive_gconv.bench.allocators import ALLOCATORS, allocator_environment
from attentive_gconv.bench.timing import Quartiles, quartiles, ratios, time_interleaved
from attentive_gconv.files import write_atomically
from attentive_gconv.functional.fast.irreps_conv import form_rule
from attentive_gconv.groups import FiniteGroup
from provenance import published_environment

P4M = ag.group("p4m").matrices
GROUPS = {
    "p4m": ag.group("p4m"),
    "p4": ag.group("p4"),
    "pmm": FiniteGroup("pmm", [P4M[i] for i in (0, 2, 4, 6)]),
    "p2": FiniteGroup("p2", [P4M[i] for i in (0, 2)]),
}
MOST_PRODUCTS = 2.5e9  # of the expanded kernel; larger cases take the same per position


LARGE = (("p4m", 32, 32, 32, 3, 32), ("p4", 48, 48, 32, 3, 32))
CURVE = {"p4m": (4, 8, 11, 16, 32, 64, 128), "p4": (4, 10, 16, 32, 48, 64, 96, 128, 192)}
SETTINGS = [(threads, allocator) for threads in (2, 1) for allocator in ("default", "tuned")]
NAMES = ("group", "inputs", "outputs", "side", "kernel_size", "batch")


def curve() -> list[dict[str, Any]]:
    """3 x 3 layers on maps of 16 x 16 over channels, one sample and sixteen; two large layers."""
    layers = [(group, channels) for group, widths in CURVE.items() for channels in widths]
    found = [(group, n, n, 16, 3, batch) for group, n in layers for batch in (1, 16)]
    return [dict(zip(NAMES, case, strict=True)) for case in [*LARGE, *found]]


def cases() -> list[dict[str, Any]]:
    """The layers: channels that networks have, the curve over channels, odd shapes."""
    found = []
    channels = (4, 8, 10, 11, 16, 23, 32, 45, 64, 96, 128, 192)
    for name, width, side in itertools.product(("p4m", "p4"), channels, (32, 16, 8, 4)):
        found += [(name, width, width, side, k, batch) for k, batch in ((3, 1), (3, 16), (1, 16))]
    for name, width in itertools.product(("p4m", "p4"), (16, 64)):
        found += [(name, width, width, 1, 3, batch) for batch in (1, 16)]
    for name, width, side, k in itertools.product(("p4m", "p4"), (4, 10, 32), (28, 11), (2, 5, 7)):
        found.append((name, width, width, side, k, 4))
    for name, width, side in itertools.product(("pmm", "p2"), (4, 16, 32, 64), (32, 8)):
        found.append((name, width, width, side, 3, 4))
    for name, (inputs, outputs) in itertools.product(("p4m", "p4"), ((8, 64), (64, 8), (32, 1), (1, 32), (64, 10))):
        found.append((name, inputs, outputs, 16, 3, 4))
    rows = [dict(zip(NAMES, case, strict=True)) for case in found]
    return [row for row in rows if products(row) <= MOST_PRODUCTS]


def products(case: dict[str, Any]) -> float:
    """Multiplications of the expanded kernel."""
    order = GROUPS[case["group"]].order
    channels = case["inputs"] * case["outputs"] * order**2
    return channels * case["kernel_size"] ** 2 * case["side"] ** 2 * case["batch"]


def measure(case: dict[str, Any], rounds: int, clock: Any) -> dict[str, Any]:
    """The case with seconds of both forms, and ratios."""
    group, k = GROUPS[case["group"]], case["kernel_size"]
    layer = ag.nn.GroupConv2d(group, case["inputs"], case["outputs"], k, padding=k // 2)
    x = torch.randn(case["batch"], case["inputs"], group.order, case["side"], case["side"])
    grad = torch.randn_like(layer(x))

    def infer(form: str) -> None:
        kept[form].conv = form
        with torch.inference_mode():
            kept[form](x)

    def train(form: str) -> None:
        layer.conv = form
        torch.autograd.grad(layer(x.requires_grad_()), (x, layer.weight), grad)

    kept = {}
    for form in ("expanded", "irreps"):  # each with its own cache
        kept[form] = ag.nn.GroupConv2d(group, case["inputs"], case["outputs"], k, padding=k // 2).eval()
        kept[form].load_state_dict(layer.state_dict())
    row = dict(case)
    for mode, function in (("inference", infer), ("training", train)):
        functions = [lambda form=form, function=function: function(form) for form in ("expanded", "irreps")]
        expanded, irreps = time_interleaved(functions, repeats=rounds, warmup=2, min_seconds=0.004, clock=clock)
        row[mode] = {
            "expanded_seconds": rounded(quartiles(expanded.seconds)),
            "irreps_seconds": rounded(quartiles(irreps.seconds)),
            "ratio": rounded(ratios(irreps.seconds, expanded.seconds)),
        }
    return row


def rounded(found: Quartiles) -> dict[str, float]:
    """Three digits, which is what a measurement is good for."""
    return {name: float(f"{value:.3g}") for name, value in found._asdict().items()}


def write(path: Path, report: dict[str, Any]) -> None:
    """One row a line."""
    rows = ",\n".join(f"  {json.dumps(row)}" for row in report["rows"])
    head = json.dumps({**report, "rows": None}, indent=1)
    write_atomically(path, (head.replace('"rows": null', f'"rows": [\n{rows}\n ]') + "\n").encode())


def curve_file(folder: Path, threads: int, allocator: str) -> Path:
    """Where the curve of a setting is kept."""
    return folder / f"{threads}-{allocator}.json"


def table(folder: Path) -> str:
    """The curves of a folder as Markdown: ratios of the same layer under every setting."""
    files = {setting: curve_file(folder, *setting) for setting in SETTINGS}
    rows = {s: json.loads(path.read_text(encoding="utf-8"))["rows"] for s, path in files.items() if path.is_file()}
    modes = ("inference", "training")
    settings = [f"{mode}, {threads}, {allocator}" for threads, allocator in rows for mode in modes]
    lines = [f"| group | channels | map | batch | {' | '.join(settings)} |", f"|{'---|' * (4 + len(settings))}"]
    for alike in zip(*rows.values(), strict=True):
        case = alike[0]
        side, cells = case["side"], [_ratio(row[mode]["ratio"]) for row in alike for mode in modes]
        sizes = (case["group"], case["inputs"], f"{side} × {side}", case["batch"])
        lines.append(f"| {' | '.join(map(str, (*sizes, *cells)))} |")
    return "\n".join(lines)


def _ratio(found: dict[str, float]) -> str:
    return f"{found['median']:.2f} ({found['lower']:.2f}–{found['upper']:.2f})"


def fit(rows: list[dict[str, Any]]) -> None:
    """Print the costs that explain the figures best, and what the rule makes of them.

    Fixed costs are those of form_rule, of calls that do next to nothing; the others are found by robust least squares
    of the logarithms, from what takes longer.
    """
    for training, mode in ((False, "inference"), (True, "training")):
        sizes = [size_of(row, training) for row in rows]
        for place, form in enumerate(("expanded", "irreps")):
            amounts = np.array([form_rule.features(size)[place] for size in sizes], float)
            measured = np.array([row[mode][f"{form}_seconds"]["median"] for row in rows]) * 1e9
            fixed = form_rule.COSTS[training][place].calls
            long = measured > 1.5 * fixed

            def error(
                logs: Any, amounts: Any = amounts[long, 1:], measured: Any = measured[long], fixed: float = fixed
            ) -> Any:
                return np.log((fixed + amounts @ np.exp(logs)) / measured)

            start = np.log(form_rule.COSTS[training][place][1:])
            found = np.exp(least_squares(error, start, loss="soft_l1", f_scale=0.1).x)
            print(mode, form, "costs", *(f"{cost:.3g}" for cost in (fixed, *found)))
        taken = [form_rule.irreps_are_faster(size) for size in sizes]
        lost = sorted(
            ((row[mode]["ratio"]["median"], row) for row, take in zip(rows, taken, strict=True) if take),
            key=lambda pair: -pair[0],
        )
        left = sorted(
            ((row[mode]["ratio"]["median"], row) for row, take in zip(rows, taken, strict=True) if not take),
            key=lambda pair: pair[0],
        )
        print(mode, f"irreps taken in {sum(taken)} of {len(rows)} layers")
        for name, pairs in (("slowest that are taken", lost), ("fastest that are not", left)):
            for ratio, row in pairs[:5]:
                print(f"  {name}: {ratio:.2f}", *list(row.values())[:6])


def size_of(case: dict[str, Any], training: bool, threads: int = 1) -> form_rule.Size:
    """The case as the rule sees it."""
    k = case["kernel_size"]
    positions = (case["side"] + 2 * (k // 2) - k + 1) ** 2 * case["batch"]
    return form_rule.Size(
        GROUPS[case["group"]], case["inputs"], case["outputs"], k, positions, False, training, threads
    )


def parser_of_arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of timing (default: 7)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: 1)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="what time is (default: wall)")
    parser.add_argument("--allocator", choices=ALLOCATORS, default="default", help="see benchmarks/README.md")
    parser.add_argument("--curve", action="store_true", help="fewer layers, for a quiet machine")
    parser.add_argument("--out", type=Path, help="JSON file for the figures; of --curve: folder")
    parser.add_argument("--fit", type=Path, help="measure nothing: fit the rule's costs to the figures of this file")
    parser.add_argument("--table", type=Path, help="measure nothing: the curves of this folder as Markdown")
    return parser


def main() -> None:
    """Read the command line; measure, print and write, or fit."""
    parser = parser_of_arguments()
    arguments = parser.parse_args()
    if arguments.fit is not None:
        fit(json.loads(arguments.fit.read_text(encoding="utf-8"))["rows"])
        return
    if arguments.table is not None:
        print(table(arguments.table))
        return
    if arguments.rounds < 3:
        parser.error(f"--rounds (={arguments.rounds}) must be at least 3")
    settings = allocator_environment(arguments.allocator)
    if any(os.environ.get(name) != value for name, value in settings.items()):  # read when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **settings})
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    out = arguments.out
    if out is not None and arguments.curve:
        out.mkdir(parents=True, exist_ok=True)
        out = curve_file(out, arguments.threads, arguments.allocator)
    report = {
        "environment": published_environment(),
        "threads": arguments.threads,
        "clock": arguments.clock,
        "allocator": arguments.allocator,
        "rows": [],
    }
    for case in curve() if arguments.curve else cases():
        row = measure(case, arguments.rounds, clock)
        report["rows"].append(row)
        medians = {mode: row[mode]["ratio"]["median"] for mode in ("inference", "training")}
        print(*case.values(), *(f"{mode} {median:.2f}" for mode, median in medians.items()), flush=True)
        if out is not None:
            write(out, report)


if __name__ == "__main__":
    main()
