"""Two revisions of this library side by side: what `agconv bench --suite paper` measures, in one run.

    git worktree add ../before REVISION
    python benchmarks/compare_revisions.py --before ../before --rounds 7 --out benchmarks/results/revisions.json
    python benchmarks/compare_revisions.py --before ../before --times-only --instructions avx2 --out FILE
    python benchmarks/compare_revisions.py --page docs/results.md --out benchmarks/results/revisions.json

Each revision has a process of its own; the processes take turns, sample by sample, and each round starts with the other
one. A sample is the mean of as many calls as last 0.3 s. Ratios are formed within rounds. Every case of the suite is
measured with the default allocator and the machine's own instructions; left out are cases that are not this library's
(conv2d) or that name a form of the convolutions, which the other revision may not have. Peak memory is that of a fresh
process for each case and revision, as the revision's own `agconv bench` counts it; it comes last.

First each network is trained in both for 20 steps, in float64, from the same weights, on the same images and with the
same dropout masks; the largest relative difference of a weight is reported. The steps are plain gradient descent with
momentum: Adam would scale gradients that are zero but for rounding up to its learning rate.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from attentive_gconv.bench.cases import CONV2D, Case
from attentive_gconv.bench.instructions import INSTRUCTIONS, instructions_environment
from attentive_gconv.bench.jobs import Measurement
from attentive_gconv.bench.suites import SUITES, entries
from attentive_gconv.bench.timing import order_of_round, quartiles, ratios
from attentive_gconv.files import write_json
from page_block import fill_page
from provenance import published_environment

NETWORKS = ("p4cnn", "alpha_f_p4cnn", "alpha_p4cnn", "alpha_ch_p4cnn", "alpha_sp_p4cnn")
HEADS = {"train": "step", "inference": "inference"}
SIZES = ("batch", "group", "channels", "side")
SOURCE = Path(__file__).resolve().parents[1] / "src"
STEPS = 2  # of peak memory, as `agconv bench` takes them
# the package of the measurements has had two names
WORKER = """
import importlib, json, sys, time
from dataclasses import asdict
import torch
from attentive_gconv import create_model

try:
    import attentive_gconv.bench as package
except ImportError:
    import attentive_gconv.benchmark as package
cases, steps, worker = (importlib.import_module(f"{package.__name__}.{name}") for name in ("cases", "steps", "worker"))

torch.set_num_threads(int(sys.argv[1]))
current, call = None, None

class GivenMasks(torch.nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p, self.generator = p, torch.Generator().manual_seed(0)

    def forward(self, x):
        return x * (torch.rand(x.shape, generator=self.generator) >= self.p).to(x.dtype) / (1 - self.p)

def train(model, path, steps=20):
    torch.manual_seed(0)
    network = create_model(model).double()
    for name, module in list(network.named_modules()):
        if isinstance(module, torch.nn.Dropout):
            network.set_submodule(name, GivenMasks(module.p))
    generator = torch.Generator().manual_seed(1)
    for name, parameter in sorted(network.named_parameters()):
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        images = torch.randn(8, 1, 28, 28, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, 10, (8,), generator=generator)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    torch.save(network.state_dict(), path)

def seconds(line, case, what):
    global current, call
    if line != current:
        # one at a time: what another case keeps in memory is not this one's burden
        call = None
        current, call = line, steps.prepare(cases.Case(**case), what)
        call(), call()
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < 0.3:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls

def peak(case, of_steps):
    found = worker.memory_of_case(cases.Case(**case), of_steps)
    if "error" in found:
        raise RuntimeError(found["error"])
    return found["bytes"]

for line in sys.stdin:
    task = json.loads(line)
    if "path" in task:
        train(**task)
        answer = 0
    elif "of_steps" in task:
        answer = peak(**task)
    else:
        answer = seconds(line, **task)
    print(answer, flush=True)
"""


@dataclass(frozen=True)
class Work:
    """One figure to measure: a case of an entry of the suite."""

    entry: str
    what: str
    case: Case

    def values(self) -> dict[str, Any]:
        """The case's values, without those that are not set, which the other revision may not know."""
        return {name: value for name, value in self.case.to_mapping().items() if value is not None}


def work_of(suite: Iterable[str]) -> list[Work]:
    """What is measured of a suite: times first, each case once."""
    found: dict[tuple[str, Case], Work] = {}
    for name in suite:
        entry = entries()[name]
        for measurement in entry.measurements:
            for comparison in entry.comparisons:
                for case in comparison.cases:
                    if measurement == Measurement(measurement.what) and case.name != CONV2D and case.conv is None:
                        found.setdefault((measurement.what, case), Work(name, measurement.what, case))
    return sorted(found.values(), key=lambda work: work.what == "memory")


class Revision:
    """A process that times work with the library of one source folder."""

    def __init__(self, source: Path, threads: int, instructions: str = "native"):
        self.source, self.threads, self.instructions = source, threads, instructions
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source), **instructions_environment(instructions)},
        )

    def time(self, work: Work) -> float:
        """Seconds of one call.

        Raises:
            RuntimeError: if the process has ended, which it does when the work fails.
        """
        return float(self._ask({"case": work.values(), "what": work.what}))

    def peak(self, work: Work) -> float:
        """Bytes of the case's peak memory, in a fresh process.

        Raises:
            RuntimeError: as `time` does.
        """
        fresh = Revision(self.source, self.threads, self.instructions)
        found = float(fresh._ask({"case": work.values(), "of_steps": STEPS}))
        fresh.close()
        return found

    def train(self, model: str, folder: Path) -> dict[str, torch.Tensor]:
        """The weights of a network after some steps, by name."""
        path = folder / "weights.pt"
        self._ask({"model": model, "path": str(path)})
        return torch.load(path, weights_only=True)  # type: ignore[no-any-return]

    def _ask(self, task: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self.close()
            raise RuntimeError(f"{task} failed with status {self._process.returncode}; its message stands above")
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def measure(revisions: tuple[Revision, Revision], work: Work, rounds: int) -> dict[str, Any]:
    """One row: seconds or bytes before and after, and their ratio."""
    figures: tuple[list[float], list[float]] = ([], [])
    memory = work.what == "memory"
    for index in range(1 if memory else rounds):
        for which in order_of_round(2, index):
            revision = revisions[which]
            figures[which].append(revision.peak(work) if memory else revision.time(work))
    before, after = figures
    return {
        "entry": work.entry,
        "what": work.what,
        "label": work.case.label(),
        "case": work.values(),
        "before": quartiles(before)._asdict(),
        "after": quartiles(after)._asdict(),
        "ratio": ratios(after, before)._asdict(),
    }


def difference(revisions: tuple[Revision, Revision], model: str) -> float:
    """The largest difference of a weight after training in both, relative to the largest weight of its tensor."""
    with TemporaryDirectory() as folder:
        before, after = (revision.train(model, Path(folder)) for revision in revisions)
    if before.keys() != after.keys():
        raise RuntimeError(f"{model} has other weights in the two revisions: {sorted(before.keys() ^ after.keys())}")
    scales = {name: value.double().abs().max().clamp_min(1e-300) for name, value in before.items()}
    return max(float((after[name] - value).abs().max() / scales[name]) for name, value in before.items())


def table(report: dict[str, Any]) -> str:
    """The report as Markdown: the networks, the same beside the first one before, and the suite entry by entry."""
    rows, work, head, rule = _networks(report)
    lines = [f"{head} weights after 20 steps |", f"{rule}---:|"]
    for model, difference in report["differences"].items():
        cells = [spread(rows[model, *key]["ratio"]) for key in work]
        lines.append(f"| `{model}` | {' | '.join(cells)} | {difference:.1e} |")
    first = next(iter(report["differences"]))
    lines += ["", f"Time of each network now, relative to {first} in the revision before:", "", yardstick(report)]
    lines += [
        "Every case of the suite, by entry:",
        "",
        "| entry | figure | cases | median of the cases | largest |",
    ]
    lines.append("|---|---|---:|---:|---|")
    for entry, what in dict.fromkeys((row["entry"], row["what"]) for row in report["rows"]):
        found = [row for row in report["rows"] if (row["entry"], row["what"]) == (entry, what)]
        median = statistics.median(row["ratio"]["median"] for row in found)
        largest = max(found, key=lambda row: row["ratio"]["median"])
        figure = f"{spread(largest['ratio'])}, {described(largest)}"
        lines.append(f"| {entry} | {HEADS.get(what, what)} | {len(found)} | {median:.2f} | {figure} |")
    return "\n".join(lines) + "\n"


def yardstick(report: dict[str, Any]) -> str:
    """Times of the networks now, relative to those of the first one before."""
    rows, work, head, rule = _networks(report)
    lines, first = [head, rule], report["networks"][0]
    for model in report["networks"]:
        beside = [rows[model, *key]["after"]["median"] / rows[first, *key]["before"]["median"] for key in work]
        lines.append(f"| `{model}` | {' | '.join(f'{value:.2f}' for value in beside)} |")
    return "\n".join(lines) + "\n"


def _networks(report: dict[str, Any]) -> tuple[dict[Any, Any], list[tuple[str, int]], str, str]:
    """The networks' rows by (network, figure, batch), the figures that all have, and the head of a table of them."""
    rows = {(row["label"], row["what"], row["case"].get("batch")): row for row in report["rows"]}
    work = sorted({key[1:] for key in rows if key[1] in HEADS}, key=lambda key: (list(HEADS).index(key[0]), key[1]))
    work = [key for key in work if all((model, *key) in rows for model in report["networks"])]
    heads = " | ".join(f"{HEADS[what]}, B={batch}" for what, batch in work)
    return rows, work, f"| network | {heads} |", "|---|" + "---:|" * len(work)


def spread(ratio: dict[str, float]) -> str:
    """Median and quartiles of a ratio; the ratio alone, if it was formed once."""
    if ratio["lower"] == ratio["upper"]:
        return f"{ratio['median']:.2f}"
    return f"{ratio['median']:.2f} ({ratio['lower']:.2f}–{ratio['upper']:.2f})"


def described(row: dict[str, Any]) -> str:
    """The case of a row: a network's or layer's name, and the sizes that were set."""
    sizes = [f"{name} {row['case'][name]}" for name in SIZES if name in row["case"]]
    kind = {"network": f"`{row['label']}`"}.get(row["case"]["kind"], f"{row['case']['kind']} layer, {row['label']}")
    return ", ".join([kind, *sizes])


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", type=Path, help="checkout of the other revision")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help=f"to train (default: {' '.join(NETWORKS)})")
    parser.add_argument("--entries", nargs="+", default=SUITES["paper"], help="of the suite (default: all of `paper`)")
    parser.add_argument("--without", nargs="+", default=(), help="entries that the other revision cannot measure")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of timing (default: 9)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each process (default: 2)")
    parser.add_argument("--instructions", choices=INSTRUCTIONS, default="native", help="of both (default: native)")
    parser.add_argument("--times-only", action="store_true", help="no peak memory, and no training in both revisions")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--page", type=Path, help="measure nothing: write the table of --out into this page")
    arguments = parser.parse_args()
    if arguments.page is not None:
        if arguments.out is None:
            parser.error("--page shows the figures of --out, which is missing")
        report = json.loads(arguments.out.read_text(encoding="utf-8"))
        if report["differences"]:
            fill_page(arguments.page, "revisions", table(report))
        else:
            fill_page(arguments.page, f"revisions-{report['instructions']}", yardstick(report))
        return
    if arguments.before is None:
        parser.error("--before is missing")
    source = arguments.before / "src"
    if not (source / "attentive_gconv").is_dir():
        parser.error(f"--before {arguments.before}: no checkout of this library, which would hold src/attentive_gconv")
    if arguments.rounds < 3:
        parser.error(f"--rounds (={arguments.rounds}) must be at least 3")
    for option in ("entries", "without"):
        if unknown := set(getattr(arguments, option)) - set(entries()):
            parser.error(f"--{option} {' '.join(sorted(unknown))}: choose from {', '.join(SUITES['paper'])}")
    options = (arguments.threads, arguments.instructions)
    revisions = (Revision(source, *options), Revision(SOURCE, *options))
    protocol = {
        "before": revision_of(arguments.before),
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "instructions": arguments.instructions,
    }
    report: dict[str, Any] = {
        "environment": published_environment(),
        **protocol,
        "networks": list(arguments.networks),
        "differences": {},
        "rows": [],
    }
    for model in () if arguments.times_only else arguments.networks:
        report["differences"][model] = difference(revisions, model)
        print(model, "weights after 20 steps:", f"{report['differences'][model]:.1e}", flush=True)
    for work in work_of(name for name in arguments.entries if name not in arguments.without):
        if arguments.times_only and work.what == "memory":
            continue
        report["rows"].append(row := measure(revisions, work, arguments.rounds))
        print(work.entry, work.what, described(row), f"{row['ratio']['median']:.3f}", flush=True)
        if arguments.out is not None:
            write_json(arguments.out, report)
    for revision in revisions:
        revision.close()


def revision_of(checkout: Path) -> str:
    """The commit that a checkout stands at."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
