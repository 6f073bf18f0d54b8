"""Group convolution by irreducible representations beside conv2d of the expanded kernel, and the rule that chooses.

    python benchmarks/conv_forms.py --rounds 7 --threads 1 --clock cpu --out benchmarks/results/conv-forms.json

Layers in float32 over groups, channels, kernel sizes, map sizes and batches: inference (kernels kept) and training
(forward and backward to input and weight), both forms in the same rounds as in benchmarks/README.md. ``--clock cpu``
counts processor time, on one thread the better measure on a busy machine. The constants of
`attentive_gconv.functional.fast.irreps_conv.form_rule` come from these figures (``--fit FILE``), and what the rule
costs where it chooses the slower form is printed.
"""

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import least_squares

import attentive_gconv as ag
from attentive_gconv.bench.timing import Quartiles, quartiles, ratios, time_interleaved
from attentive_gconv.environment import describe_environment
from attentive_gconv.functional.fast.irreps_conv import form_rule
from attentive_gconv.groups import FiniteGroup

P4M = ag.group("p4m").matrices
GROUPS = {
    "p4m": ag.group("p4m"),
    "p4": ag.group("p4"),
    "pmm": FiniteGroup("pmm", [P4M[i] for i in (0, 2, 4, 6)]),
    "p2": FiniteGroup("p2", [P4M[i] for i in (0, 2)]),
}
MOST_PRODUCTS = 2.5e9  # of the expanded kernel; larger cases take the same per position


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
    names = ("group", "inputs", "outputs", "side", "kernel_size", "batch")
    rows = [dict(zip(names, case, strict=True)) for case in found]
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
    path.write_text(head.replace('"rows": null', f'"rows": [\n{rows}\n ]') + "\n", encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    """The curve over channels of 3 x 3 layers on maps of 16 x 16, as Markdown."""
    lines = ["| group | channels | batch | inference | training |", "|---|---|---|---|---|"]
    for row in rows:
        if (row["side"], row["kernel_size"]) == (16, 3) and row["batch"] in (1, 16) and row["inputs"] == row["outputs"]:
            cells = (
                f"{r['median']:.2f} ({r['lower']:.2f}–{r['upper']:.2f})"
                for r in (row[mode]["ratio"] for mode in ("inference", "training"))
            )
            lines.append(f"| {row['group']} | {row['inputs']} | {row['batch']} | {' | '.join(cells)} |")
    return "\n".join(lines)


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


def size_of(case: dict[str, Any], training: bool) -> form_rule.Size:
    """The case as the rule sees it."""
    k = case["kernel_size"]
    positions = (case["side"] + 2 * (k // 2) - k + 1) ** 2 * case["batch"]
    return form_rule.Size(GROUPS[case["group"]], case["inputs"], case["outputs"], k, positions, False, training, 1)


def main() -> None:
    """Read the command line; measure, print and write, or fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of timing (default: 7)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: 1)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="what time is (default: wall)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument(
        "--fit", type=Path, help="measure nothing: fit the rule's costs to the figures of this file, and tabulate"
    )
    arguments = parser.parse_args()
    if arguments.fit is not None:
        rows = json.loads(arguments.fit.read_text(encoding="utf-8"))["rows"]
        fit(rows)
        print(table(rows))
        return
    if arguments.rounds < 3:
        parser.error(f"--rounds (={arguments.rounds}) must be at least 3")
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    rows = []
    for case in cases():
        rows.append(measure(case, arguments.rounds, clock))
        medians = {mode: rows[-1][mode]["ratio"]["median"] for mode in ("inference", "training")}
        print(*case.values(), *(f"{mode} {median:.2f}" for mode, median in medians.items()), flush=True)
        if arguments.out is not None:
            report = {
                "environment": describe_environment(),
                "threads": arguments.threads,
                "clock": arguments.clock,
                "rows": rows,
            }
            write(arguments.out, report)


if __name__ == "__main__":
    main()
