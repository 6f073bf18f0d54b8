"""Two revisions of this library side by side: training steps and inference of the same networks, in one run.

    git worktree add ../before REVISION
    python benchmarks/compare_revisions.py --before ../before --rounds 9 --out benchmarks/results/revisions.json

Each revision has a process of its own, which keeps its networks; the processes take turns, sample by sample, and each
round starts with the other one. A sample is the mean of as many calls as last 0.3 s. Ratios are formed within rounds.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attentive_gconv.bench.timing import order_of_round, quartiles, ratios
from attentive_gconv.environment import describe_environment
from attentive_gconv.files import write_json

NETWORKS = ("p4cnn", "alpha_f_p4cnn", "alpha_p4cnn", "alpha_ch_p4cnn", "alpha_sp_p4cnn")
SOURCE = Path(__file__).resolve().parents[1] / "src"
# what both revisions offer: `create_model`, and nothing of the timing that may have changed between them
WORKER = """
import json, sys, time
import torch
from attentive_gconv import create_model

torch.set_num_threads(int(sys.argv[1]))
kept = {}

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
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(work)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self.close()
            raise RuntimeError(f"{work} failed with status {self._process.returncode}; its message stands above")
        return float(answer)

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


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", type=Path, required=True, help="checkout of the other revision")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help=f"(default: {' '.join(NETWORKS)})")
    parser.add_argument("--train-batches", nargs="*", type=int, default=(16, 128), help="(default: 16 128)")
    parser.add_argument("--inference-batches", nargs="*", type=int, default=(1, 16, 128), help="(default: 1 16 128)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of timing (default: 9)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each process (default: 2)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    source = arguments.before / "src"
    if not (source / "attentive_gconv").is_dir():
        parser.error(f"--before {arguments.before}: no checkout of this library, which would hold src/attentive_gconv")
    if arguments.rounds < 3:
        parser.error(f"--rounds (={arguments.rounds}) must be at least 3")
    revisions = (Revision(source, arguments.threads), Revision(SOURCE, arguments.threads))
    rows = []
    for model in arguments.networks:
        for train, batches in ((True, arguments.train_batches), (False, arguments.inference_batches)):
            for batch in batches:
                rows.append(measure(revisions, Work(model, batch, train), arguments.rounds))
                print(model, batch, "step" if train else "inference", f"{rows[-1]['ratio']['median']:.3f}", flush=True)
    for revision in revisions:
        revision.close()
    if arguments.out is not None:
        protocol = {"rounds": arguments.rounds, "threads": arguments.threads, "before": revision_of(arguments.before)}
        write_json(arguments.out, {"environment": describe_environment(), **protocol, "rows": rows})


def revision_of(checkout: Path) -> str:
    """The commit that a checkout stands at."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
