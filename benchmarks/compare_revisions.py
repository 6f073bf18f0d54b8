"""Two revisions of this library side by side: training steps and inference of the same networks, in one run.

    git worktree add ../before REVISION
    python benchmarks/compare_revisions.py --before ../before --rounds 7 --out benchmarks/results/revisions.json
    python benchmarks/compare_revisions.py --page docs/results.md --out benchmarks/results/revisions.json

Each revision has a process of its own, which keeps its networks; the processes take turns, sample by sample, and each
round starts with the other one. A sample is the mean of as many calls as last 0.3 s. Ratios are formed within rounds.

First each network is trained in both for 20 steps, in float64, from the same weights, on the same images and with the
same dropout masks; the largest relative difference of a weight is reported. The steps are plain gradient descent with
momentum: Adam would scale gradients that are zero but for rounding up to its learning rate.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from attentive_gconv.bench.timing import order_of_round, quartiles, ratios
from attentive_gconv.files import write_json
from page_block import fill_page
from provenance import published_environment

NETWORKS = ("p4cnn", "alpha_f_p4cnn", "alpha_p4cnn", "alpha_ch_p4cnn", "alpha_sp_p4cnn")
SOURCE = Path(__file__).resolve().parents[1] / "src"
# what both revisions offer: `create_model`, and nothing of the timing that may have changed between them
WORKER = """
import json, sys, time
import torch
from attentive_gconv import create_model

torch.set_num_threads(int(sys.argv[1]))
kept = {}

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

def prepare(model, batch, train):
    torch.manual_seed(0)
    network = create_model(model).train(train)
    images, labels = torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)

    def step():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    def infer():
        with torch.inference_mode():
            network(images)

    call = step if train else infer
    call(), call()
    return call

for line in sys.stdin:
    if "path" in line:
        train(**json.loads(line))
        print(0, flush=True)
        continue
    if line not in kept:
        kept[line] = prepare(**json.loads(line))
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < 0.3:
        kept[line]()
        calls += 1
    print((time.perf_counter() - start) / calls, flush=True)
"""


@dataclass(frozen=True)
class Work:
    """One thing to time."""

    model: str
    batch: int
    train: bool


class Revision:
    """A process that times work with the library of one source folder."""

    def __init__(self, source: Path, threads: int):
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(source)},
        )

    def time(self, work: Work) -> float:
        """Seconds of one call.

        Raises:
            RuntimeError: if the process has ended, which it does when the work fails.
        """
        return float(self._ask(asdict(work)))

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
    """One row: seconds before and after, and their ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(rounds):
        for which in order_of_round(2, index):
            times[which].append(revisions[which].time(work))
    before, after = times
    return {
        **asdict(work),
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
    """The report as Markdown: a row for each network, and all beside the first network of the revision before."""
    work = list(dict.fromkeys((row["train"], row["batch"]) for row in report["rows"]))
    rows = {(row["model"], row["train"], row["batch"]): row for row in report["rows"]}
    heads = " | ".join(f"{'step' if train else 'inference'}, B={batch}" for train, batch in work)
    rule = "|---|" + "---:|" * len(work)
    lines = [f"| network | {heads} | weights after 20 steps |", f"{rule}---:|"]
    for model, difference in report["differences"].items():
        found = [rows[model, *key]["ratio"] for key in work]
        cells = [f"{ratio['median']:.2f} ({ratio['lower']:.2f}–{ratio['upper']:.2f})" for ratio in found]
        lines.append(f"| `{model}` | {' | '.join(cells)} | {difference:.1e} |")
    first = next(iter(report["differences"]))
    lines += ["", f"The medians beside those of {first} in the revision before:", "", f"| network | {heads} |", rule]
    for model in report["differences"]:
        beside = [rows[model, *key]["after"]["median"] / rows[first, *key]["before"]["median"] for key in work]
        lines.append(f"| `{model}` | {' | '.join(f'{value:.2f}' for value in beside)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", type=Path, help="checkout of the other revision")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help=f"(default: {' '.join(NETWORKS)})")
    parser.add_argument("--train-batches", nargs="*", type=int, default=(16, 128), help="(default: 16 128)")
    parser.add_argument("--inference-batches", nargs="*", type=int, default=(1, 16, 128), help="(default: 1 16 128)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of timing (default: 9)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each process (default: 2)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--page", type=Path, help="measure nothing: write the table of --out into this page")
    arguments = parser.parse_args()
    if arguments.page is not None:
        if arguments.out is None:
            parser.error("--page shows the figures of --out, which is missing")
        fill_page(arguments.page, "revisions", table(json.loads(arguments.out.read_text(encoding="utf-8"))))
        return
    if arguments.before is None:
        parser.error("--before is missing")
    source = arguments.before / "src"
    if not (source / "attentive_gconv").is_dir():
        parser.error(f"--before {arguments.before}: no checkout of this library, which would hold src/attentive_gconv")
    if arguments.rounds < 3:
        parser.error(f"--rounds (={arguments.rounds}) must be at least 3")
    revisions = (Revision(source, arguments.threads), Revision(SOURCE, arguments.threads))
    rows, differences = [], {}
    for model in arguments.networks:
        differences[model] = difference(revisions, model)
        print(model, "weights after 20 steps:", f"{differences[model]:.1e}", flush=True)
        for train, batches in ((True, arguments.train_batches), (False, arguments.inference_batches)):
            for batch in batches:
                rows.append(measure(revisions, Work(model, batch, train), arguments.rounds))
                print(model, batch, "step" if train else "inference", f"{rows[-1]['ratio']['median']:.3f}", flush=True)
    for revision in revisions:
        revision.close()
    if arguments.out is not None:
        protocol = {"rounds": arguments.rounds, "threads": arguments.threads}
        report = {"before": revision_of(arguments.before), **protocol, "differences": differences, "rows": rows}
        write_json(arguments.out, {"environment": published_environment(), **report})


def revision_of(checkout: Path) -> str:
    """The commit that a checkout stands at."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
