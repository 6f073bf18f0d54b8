"""Compare another implementation with ours in one run: training step, inference, peak memory, and output shapes.

    python benchmarks/compare.py --module their_adapter:make --models alpha_p4cnn,p4cnn --batch-sizes 16,64
    python benchmarks/compare.py --module their_adapter:make --layers full --groups p4,p4m --out runs/theirs

`their_adapter` is a module of yours that can be imported from here (the current folder counts); `make` is called as

    make(name, sizes) -> torch.nn.Module, or None for what the implementation does not offer

name    a network's ("alpha_p4cnn"; `agconv models`) or a kind of layer ("full", "none", ...; `agconv bench --help`)
sizes   a dict: kind ("network", "group" or "lifting"), batch, group ("p4"), in_channels, image_size (Y, X) and, for a
        network, num_classes and channels (its width, None for the paper's); for a layer, out_channels, kernel_size and
        padding

A network maps images (B, in_channels, Y, X) to logits (B, num_classes). A group layer maps (B, in_channels, |H|, Y, X),
a lifting layer (B, in_channels, Y, X), to (B, out_channels, |H|, Y', X'). Whoever has another layout of the group axis
converts inside the module, and counts the conversion.

Before anything is measured the shapes of the outputs are compared, and the comparison stops where they differ. If the
module names and shapes its weights as ours does, it gets ours, and the distance of the outputs is shown. Ratios are
theirs to ours, round by round: above 1 they take longer. benchmarks/README.md states the method.
"""

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from attentive_gconv.bench import Comparison, Figure, Measurement, Protocol, Sweep, jobs, measure, table
from attentive_gconv.bench.case_grid import values
from attentive_gconv.bench.cases import DTYPES, Case, load_factory
from attentive_gconv.bench.steps import WHAT
from attentive_gconv.cli.devices import find_device
from attentive_gconv.files import write_atomically, write_json
from provenance import published_environment


def side_by_side(sweep: Sweep, template: Case, module: str) -> list[Comparison]:
    """Every case of the sweep, ours first, beside the other implementation's."""
    load_factory(module)
    pairs = []
    for comparison in sweep.comparisons(template):
        for ours in comparison.cases:
            # ways of computing full attention are ours alone
            theirs = replace(ours, factory=module, method=None, backend=None, recompute=None)
            pairs.append(Comparison((ours, theirs), has_baseline=True))
    return pairs


def check_shapes(pair: Comparison, threads: int | None) -> dict[str, Any]:
    """What both give for the same input: shapes, parameter counts, and the distance of outputs of the same weights.

    `agreed` is None where the other implementation has no such thing.

    Raises:
        ValueError: if one of them fails, or the shapes differ.
    """
    ours, theirs = pair.cases
    job = {"task": "compare", "cases": [ours.to_mapping(), theirs.to_mapping()], "threads": threads}
    result = jobs.run_worker(job)
    about = {"case": ours.to_mapping(), "label": ours.label()}
    if not result.get("offered", True):
        return {**about, "agreed": None, "reason": result["error"]}
    if "error" in result:
        raise ValueError(f"{theirs.label()}, batch {theirs.batch}: {result['error']}")
    mine, other = result["shapes"]
    if mine != other:
        raise ValueError(
            f"{theirs.label()}: the output has shape {tuple(other)}, ours {tuple(mine)}; they cannot be compared"
        )
    kept = ("shapes", "parameters", "difference")
    return {**about, "agreed": True, **{name: result[name] for name in kept}}


def compare(
    pairs: list[Comparison], measurements: list[Measurement], protocol: Protocol
) -> tuple[list[dict[str, Any]], list[Figure]]:
    """The checks of all pairs, and the figures of those that both have."""
    checks = [check_shapes(pair, protocol.threads) for pair in pairs]
    common = [pair for pair, check in zip(pairs, checks, strict=True) if check["agreed"]]
    return checks, measure(common, measurements, protocol, report=lambda line: print(line, file=sys.stderr))


def describe(check: dict[str, Any]) -> str:
    """A check in words."""
    if check["agreed"] is None:
        return f"{check['label']}: left out, {check['reason']}"
    (mine, other), shape = check["parameters"], tuple(check["shapes"][0])
    distance = check["difference"]
    same = "other weights" if distance is None else f"same weights, outputs differ by {distance:.1e}"
    return f"{check['label']}: shape {shape}; parameters {mine:,} (ours), {other:,} (theirs); {same}"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", required=True, help="the other implementation, some.module:factory")
    names = parser.add_mutually_exclusive_group(required=True)
    names.add_argument("--models", help="networks, names or patterns, with commas between")
    names.add_argument("--layers", help="kinds of layers, with commas between")
    parser.add_argument("--lifting", action="store_true", help="lifting layers")
    parser.add_argument("--what", default=",".join(WHAT), help=f"[{','.join(WHAT)}]")
    for option, default in (("batch-sizes", "16"), ("groups", ""), ("channels", ""), ("image-sizes", "")):
        parser.add_argument(f"--{option}", default=default, help=f"with commas between [{default or 'the usual'}]")
    parser.add_argument("--kernel-size", type=int, default=3, help="of layers [3]")
    parser.add_argument("--padding", type=int, default=0, help="of layers [0]")
    for option in ("method", "backend"):
        parser.add_argument(f"--{option}", default="", help="how ours computes full attention")
    parser.add_argument("--recompute", action="store_true", help="ours keeps the input of each layer alone")
    parser.add_argument("--device", default="cpu", help="[cpu]")
    parser.add_argument("--dtype", default="float32", choices=list(DTYPES), help="[float32]")
    parser.add_argument("--allocator", default="default", help="several with commas between [default]")
    parser.add_argument("--repeats", type=int, default=11, help="rounds [11]")
    parser.add_argument("--warmup", type=int, default=2, help="calls before these [2]")
    parser.add_argument("--threads", type=int, help="PyTorch's threads")
    parser.add_argument("--out", type=Path, help="folder for compare.json and compare.md")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Check, measure, show."""
    given = parse(arguments)
    sys.path.insert(0, str(Path.cwd()))
    layers = given.layers is not None
    sweep = Sweep(
        values([given.layers or given.models or ""], "--layers" if layers else "--models", str),
        kind="network" if not layers else "lifting" if given.lifting else "group",
        batches=values([given.batch_sizes], "--batch-sizes", int),
        groups=values([given.groups], "--groups", str),
        channels=values([given.channels], "--channels", int),
        sides=values([given.image_sizes], "--image-sizes", int),
        methods=values([given.method], "--method", str),
        backends=values([given.backend], "--backend", str),
        recompute=[True] if given.recompute else [],
    )
    template = Case(
        "p4cnn",
        kernel_size=given.kernel_size,
        padding=given.padding,
        dtype=given.dtype,
        device=str(find_device(given.device)),
    )
    wanted = values([given.what], "--what", str)
    settings = values([given.allocator], "--allocator", str)
    protocol = Protocol(repeats=given.repeats, warmup=given.warmup, threads=given.threads)
    about = published_environment()
    pairs = side_by_side(sweep, template, given.module)
    measurements = [Measurement(name, setting) for setting in settings for name in wanted]
    checks, figures = compare(pairs, measurements, protocol)
    print("\n".join(describe(check) for check in checks) + "\n")
    if figures:
        print(table(figures).markdown())
    if given.out is not None:
        document = {
            "environment": about,
            "protocol": asdict(protocol),
            "checks": checks,
            "figures": [figure.to_mapping() for figure in figures],
        }
        write_json(given.out / "compare.json", document)
        if figures:
            write_atomically(given.out / "compare.md", table(figures).markdown().encode())
    if failed := [f"{figure.case.label()}: {figure.error}" for figure in figures if figure.error]:
        raise ValueError("; ".join(failed))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, ImportError, RuntimeError) as error:
        sys.exit(f"compare.py: {error}")
