"""Seconds and memory of a training step of the paper's networks, each at the batch size that the paper trained it with.

    python benchmarks/paper_networks.py --out runs/paper-networks.json
    python benchmarks/paper_networks.py --models 'p4_*' --batch-size 8 --steps 3 --out runs/small.json

Each network has a process of its own. It takes one step with two images first, so that nothing is set up in the
measured ones; a step is forward, backward and the optimizer of the network's recipe, on random images. Reported are,
for each step, the wall-clock time and the processor time of all threads together (which says what the step costs even
where other processes were in its way), and the process's largest resident memory; on a GPU the synchronised time, and
the largest memory that torch allocated. What is in the file already is kept, so that the table can be made in several
sittings.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from attentive_gconv.environment import describe_environment
from attentive_gconv.files import write_json
from attentive_gconv.models import create_model, list_models, model_entry
from attentive_gconv.training import load_recipe
from attentive_gconv.training.optim import make_optimizer
from attentive_gconv.training.run_folder import read_json

RECIPES = {"rot-mnist": "rot-mnist", "allcnnc": "cifar10", "resnet": "cifar10", "densenet": "pcam"}
DEFAULT = "*allcnnc,*resnet44,*densenet"


def measure(name: str, batch_size: int | None, steps: int, device: str) -> dict[str, Any]:
    """The figures of one network, measured in this process."""
    entry = model_entry(name)
    config = load_recipe(RECIPES[entry.family], {"model.name": name})
    size = batch_size or config.batch_size
    torch.manual_seed(0)
    model = create_model(name).to(device)
    optimizer = make_optimizer(model.parameters(), config.optimizer)

    def step(count: int) -> None:
        images = torch.randn(count, *entry.image_shape, device=device)
        labels = torch.randint(entry.num_classes, (count,), device=device)
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()

    step(2)
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    seconds, processor = [], []
    for _ in range(steps):
        start, used = time.perf_counter(), time.process_time()
        step(size)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    on_cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "model": name,
        "parameters": entry.parameters,
        "batch_size": size,
        "steps": steps,
        "seconds": statistics.median(seconds),
        "processor_seconds": statistics.median(processor),
        "peak_bytes": on_cpu if device == "cpu" else torch.cuda.max_memory_allocated(),
        "device": device,
        "environment": describe_environment(),
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = ["| network | batch | s a step | processor s | peak memory, GB | steps |", "|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        lines.append(
            f"| `{row['model']}` | {row['batch_size']} | {row['seconds']:.2f} | {row['processor_seconds']:.2f} "
            f"| {row['peak_bytes'] / 1e9:.2f} | {row['steps']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=DEFAULT, help=f"patterns with commas between [{DEFAULT}]")
    parser.add_argument("--batch-size", type=int, help="instead of the paper's")
    parser.add_argument("--steps", type=int, default=1, help="measured steps, of which the median is taken [1]")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the figures")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = [name for pattern in arguments.models.split(",") for name in list_models(pattern)]
    if not names:
        parser.error(f"no network matches --models {arguments.models!r}")
    if arguments.in_this_process:
        print(json.dumps(measure(names[0], arguments.batch_size, arguments.steps, arguments.device)))
        return
    rows = read_json(arguments.out)["rows"] if arguments.out.exists() else []
    for name in names:
        if any(row["model"] == name and arguments.batch_size in (None, row["batch_size"]) for row in rows):
            continue
        command = [sys.executable, __file__, "--models", name, "--in-this-process", "--out", str(arguments.out)]
        command += ["--steps", str(arguments.steps), "--device", arguments.device]
        command += ["--batch-size", str(arguments.batch_size)] if arguments.batch_size else []
        child = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        rows.append(json.loads(child.stdout.splitlines()[-1]))
        write_json(arguments.out, {"rows": rows})
        print(markdown(rows[-1:]).splitlines()[-1], flush=True)
    print(f"\n{markdown(rows)}")


if __name__ == "__main__":
    main()
