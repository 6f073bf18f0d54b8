"""Random kills of trainings, and single-bit flips in every kind of file, with counts of their outcomes.

    python benchmarks/robustness.py --kills 50 --out benchmarks/results/kills.json  # continues an interrupted call
    python benchmarks/robustness.py --flips 500 --out benchmarks/results/flips.json
    python benchmarks/robustness.py --flips 500 --out benchmarks/results/flips.json --page docs/results.md  # its table

Kills: a small training is killed (SIGKILL) at a random moment and resumed, half of them killed in the resumed training
once more; weights, metrics, result and predictions must be those of an unbroken run. Flips: one random bit of a file is
turned over and the file is read as the library reads it. *refused*: an error that names the file; *harmless*: what was
read is what was read before; *wrong*: anything else. The trainings and files are those of the tests, whose helpers it
uses. Needs `fork`; single-bit flips in the authors' checkpoints need these files (``--reference FOLDER``).
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import attentive_gconv as ag  # noqa: E402
from attentive_gconv.checkpoints.pretrained import list_pretrained, pretrained_file  # noqa: E402
from attentive_gconv.checkpoints.run_files import read_json, read_predictions  # noqa: E402
from attentive_gconv.checkpoints.weights import load_weights  # noqa: E402
from attentive_gconv.data.cache import CacheEntry, load_or_build  # noqa: E402
from attentive_gconv.data.datasets import DATASETS, DatasetEntry  # noqa: E402
from attentive_gconv.files import write_json  # noqa: E402
from attentive_gconv.models import shipped_cards  # noqa: E402
from attentive_gconv.training import RunFolder, TrainConfig, resume, train  # noqa: E402
from attentive_gconv.training.epoch_files import read_finished  # noqa: E402
from page_block import fill_page  # noqa: E402
from provenance import published_environment  # noqa: E402
from tiny import Tiny, tiny_config  # noqa: E402

TIMES = ("seconds_per_epoch", "sha256")
PROTOCOLS = ("final", "validation", "paper")


def register_tiny() -> None:
    """The small dataset of the tests."""
    DATASETS["tiny"] = DatasetEntry("a few images", {"auto": "what there is", "made": "made here"}, Tiny().load)


def in_child(work: Callable[[], Any], kill_after: float | None) -> bool:
    """Do something in a forked process and kill it after some seconds; whether it ended by itself.

    Raises:
        RuntimeError: if it ended by an error.
    """
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the training ended with status {status} rather than by itself or by SIGKILL")
    return status == 0


def continued(config: TrainConfig, folder: Path) -> None:
    """What a user does after a kill: resume, or start again where nothing was trained."""
    if not (folder / "config.yaml").exists():
        train(config, folder)
    elif not (folder / "result.json").exists():
        resume(folder)


def outcome(path: Path) -> dict[str, Any]:
    """All that a run leaves, apart from its times and places."""
    folder = RunFolder(path)
    result = {name: value for name, value in read_json(folder.result_file).items() if name not in TIMES}
    rows = [line.rpartition(",")[0] for line in folder.metrics_file.read_text(encoding="utf-8").splitlines()]
    predictions = [array.tolist() for array in read_predictions(folder.predictions_file)]
    found: dict[str, Any] = {"result": result, "metrics": rows, "predictions": predictions}
    for which in ("last", "best"):
        if folder.weights(which).exists():
            state = load_weights(folder.weights(which)).module.state_dict()
            found[which] = {name: value.numpy().tobytes() for name, value in state.items()}
    return found


def kills(count: int, seed: int, rows: list[dict[str, Any]], keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """So many random kills, those of earlier calls included; what the resumed runs are. ``keep`` is told after each."""
    found: dict[str, Any] = {"seed": seed, "of": rows}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        unbroken: dict[str, tuple[float, dict[str, Any]]] = {}
        for number in range(len(rows), count):
            protocol = PROTOCOLS[number % len(PROTOCOLS)]
            config, folder = tiny_config(epochs=2, protocol=protocol), place / str(number)
            if protocol not in unbroken:
                in_child(partial(train, config, place / "warm-up" / protocol), None)
                began = time.monotonic()
                in_child(partial(train, config, place / protocol), None)
                unbroken[protocol] = time.monotonic() - began, outcome(place / protocol)
            seconds, wanted = unbroken[protocol]
            source = random.Random(f"{seed} {number}")
            after, again = (round(source.uniform(0.02, seconds), 3) for _ in range(2))
            row = {
                "protocol": protocol,
                "seconds": after,
                "killed": not in_child(partial(train, config, folder), after),
            }
            row["again"] = again if number % 2 else None
            if number % 2:
                in_child(partial(continued, config, folder), again)
            in_child(partial(continued, config, folder), None)
            rows.append({**row, "equal": outcome(folder) == wanted})
            found |= {"killed": sum(r["killed"] for r in rows), "equal": sum(r["equal"] for r in rows)}
            keep(found)
            print(number, *rows[-1].values(), flush=True)
    return found


def flips(count: int, seed: int, reference: Path | None) -> dict[str, Any]:
    """So many flips in every kind of file."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["AGCONV_CACHE_DIR"] = str(Path(name) / "cache")
        found = {kind: flip(path, read, count, seed) for kind, (path, read) in files(Path(name), reference).items()}
    return {"seed": seed, "flips": count, "kinds": found}


def files(place: Path, reference: Path | None) -> dict[str, tuple[Path, Callable[[Path], Any]]]:
    """A file of every kind, and how the library reads it."""
    train(tiny_config(epochs=2, protocol="paper"), place / "run")
    run = RunFolder(place / "run")
    entry = CacheEntry("noise", {"seed": 0}, {"images": ("<f4", (64, 28, 28)), "labels": ("|u1", (64,))})

    def build() -> dict[str, np.ndarray]:
        made = np.random.default_rng(0)
        return {"images": made.random((64, 28, 28), np.float32), "labels": np.arange(64, dtype=np.uint8)}

    _, cached = load_or_build(entry, build)
    if cached is None:
        raise OSError("the cache of datasets cannot be written")
    found: dict[str, tuple[Path, Callable[[Path], Any]]] = {
        "config.yaml": (run.config_file, lambda path: run.read_config()),
        "result.json": (run.result_file, read_json),
        "dataset.json": (run.dataset_file, read_json),
        "environment.json": (run.environment_file, read_json),
        "predictions.npz": (run.predictions_file, lambda path: [a.tolist() for a in read_predictions(path)]),
        "last.ckpt": (run.checkpoint("last"), lambda path: _finished(run)),
        "last.safetensors": (run.weights("last"), _weights),
        "dataset cache": (cached, lambda path: _cached(entry, path)),
    }
    shutil.copytree(shipped_cards.FOLDER, place / "shipped")
    shipped_cards.FOLDER = place / "shipped"
    name = list_pretrained()[0]
    found["shipped weights"] = pretrained_file(name), lambda path: _weights(pretrained_file(name))
    for released in sorted(reference.glob("*.pth"))[:1] if reference is not None else []:
        copy = place / "copy.pth"
        copy.write_bytes(released.read_bytes())
        found["authors' checkpoint"] = copy, partial(_reference_state, released.stem)
    return found


def _cached(entry: CacheEntry, path: Path) -> dict[str, bytes]:
    """What the cache holds; a damaged file is noticed and would be made again."""

    def again() -> dict[str, np.ndarray]:
        raise ValueError(f"{path.name} is made again")

    return {name: array.tobytes() for name, array in load_or_build(entry, again)[0].items()}


def _reference_state(model: str, path: Path) -> dict[str, bytes]:
    return _state(ag.load_reference_checkpoint(path, model))


def _state(module: torch.nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in module.state_dict().items()}


def _weights(path: Path) -> Any:
    trained = load_weights(path)
    return trained.card, _state(trained.module)


def _finished(run: RunFolder) -> Any:
    finished = read_finished(run)
    assert finished is not None
    return finished.history, {name: value.numpy().tobytes() for name, value in finished.state.items()}


def _same(found: Any, wanted: Any) -> bool:
    """Whether the same was read; a record may hold one entry more, what a bit makes of the name of its digest."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and found[name] == value for name, value in wanted.items())
    return bool(found == wanted)


def flip(path: Path, read: Callable[[Path], Any], count: int, seed: int) -> dict[str, int]:
    """Flip single bits of a file and read it; how often it was refused, harmless, or wrong."""
    whole, wanted, source = path.read_bytes(), read(path), random.Random(seed)
    found = Counter({"bits": 8 * len(whole), "refused": 0, "harmless": 0, "wrong": 0})
    for _ in range(count):
        bit = source.randrange(8 * len(whole))
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            found["harmless" if _same(read(path), wanted) else "wrong"] += 1
        except ValueError as error:  # the errors of the library are ValueErrors; any other ends this
            found["refused" if path.name in str(error) else "refused without its name"] += 1
    path.write_bytes(whole)
    print(path.name, dict(found), flush=True)
    return dict(found)


def kills_table(found: dict[str, Any]) -> str:
    """The kills as Markdown: a row for each protocol."""
    lines = ["| protocol | trainings | killed | killed once more | resumed equal |", "|---|---:|---:|---:|---:|"]
    for protocol in PROTOCOLS:
        rows = [row for row in found["of"] if row["protocol"] == protocol]
        counts = (len(rows), *(sum(bool(row[key]) for row in rows) for key in ("killed", "again", "equal")))
        lines.append(f"| `{protocol}` | {' | '.join(map(str, counts))} |")
    return "\n".join(lines) + "\n"


def flips_table(found: dict[str, Any]) -> str:
    """The flips as Markdown: a row for each kind of file."""
    columns = ("bits", "refused", "harmless", "refused without its name", "wrong")
    lines = [f"| file | {' | '.join(('bits in the file', *columns[1:]))} |", "|---|" + "---:|" * len(columns)]
    for kind, row in found["kinds"].items():
        lines.append(f"| {kind} | {' | '.join(f'{row.get(column, 0):,}' for column in columns)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Read the command line; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, help="number of kills")
    parser.add_argument("--flips", type=int, help="number of flips in each kind of file")
    parser.add_argument("--seed", type=int, default=0, help="[0]")
    parser.add_argument("--reference", type=Path, help="folder of the authors' checkpoints")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--page", type=Path, help="try nothing: write the table of --out into this page")
    given = parser.parse_args()
    if (given.kills is None) == (given.flips is None):
        parser.error("give either --kills or --flips")
    if given.page is not None:
        if given.out is None:
            parser.error("--page shows the figures of --out, which is missing")
        known = json.loads(given.out.read_text(encoding="utf-8"))
        name, table = ("kills", kills_table) if given.kills is not None else ("flips", flips_table)
        fill_page(given.page, name, table(known))
        return 0
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    register_tiny()
    about = published_environment()

    def keep(found: dict[str, Any]) -> None:
        if given.out is not None:
            write_json(given.out, {"environment": about, **found})

    if given.kills is not None:
        known = given.out is not None and given.out.exists()
        before = json.loads(given.out.read_text(encoding="utf-8")) if known else {"seed": given.seed, "of": []}
        if before["seed"] != given.seed:
            parser.error(f"--out {given.out} holds kills of --seed {before['seed']}: give another --out")
        rows = before["of"]
        found = kills(given.kills, given.seed, rows, keep)
        wrong = len(found["of"]) - sum(row["equal"] for row in found["of"])
    else:
        found = flips(given.flips, given.seed, given.reference)
        wrong = sum(row["wrong"] for row in found["kinds"].values())
        keep(found)
    print(json.dumps({"wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
