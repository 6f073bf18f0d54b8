"""Copy the small files of finished runs into the repository: settings, metrics, result, provenance, predictions.

    python benchmarks/publish_run.py runs/final/p4cnn-0 runs/final/p4cnn-1 --to benchmarks/results/rot-mnist/final

Each run becomes a folder of its own name, with config.yaml, dataset.json, environment.json, metrics.csv, result.json
and, where there is one, predictions.npz. Folders of the machine are left out: that of the data (``dataset.dir`` becomes
null) and, in the command, all but the last part of ``--out``. Checkpoints and TensorBoard's files stay where they are.
Runs that are not finished are refused.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attentive_gconv.checkpoints.run_files import RunFiles, RunFolderError, read_json
from attentive_gconv.files import write_atomically, write_json
from attentive_gconv.training.config import PLACES
from attentive_gconv.training.recipe import flatten
from attentive_gconv.yaml_settings import dump_settings, read_settings
from provenance import without_folders

COPIED = ("dataset.json", "metrics.csv", "predictions.npz", "result.json")


def publish(run: RunFiles, target: Path) -> None:
    """Write the small files of a run to a folder.

    Raises:
        RunFolderError: if the run is not finished, or a file is damaged.
    """
    if not run.result_file.is_file():
        raise RunFolderError(f"{run.path} is not finished: it has no {run.result_file.name}")
    settings: dict[str, Any] = read_settings(run.config_file)
    settings["dataset"] |= {"dir": None, "folder": None}
    environment = read_json(run.environment_file)
    starts = [{**start, "command": without_folders(start["command"])} for start in environment["starts"]]
    for record in (run.dataset_file, run.result_file):
        read_json(record)  # refuses a damaged one
    target.mkdir(parents=True, exist_ok=True)
    write_atomically(target / "config.yaml", dump_settings(settings).encode())
    write_json(target / "environment.json", {**environment, "starts": starts})
    for name in COPIED:
        if (run.path / name).is_file():
            write_atomically(target / name, (run.path / name).read_bytes())
        else:
            (target / name).unlink(missing_ok=True)


def require_same_settings(runs: Iterable[Path], by_network: tuple[str, ...] = ()) -> None:
    """Check that published runs differ in network and seed alone.

    Args:
        runs: their folders.
        by_network: settings that may differ from network to network, but not from seed to seed.

    Raises:
        ValueError: if another setting differs; the message names it.
    """
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    for run in runs:
        settings = flatten(read_settings(run / "config.yaml"))
        network = settings.pop("model.name")
        del settings["seed"]
        for peers, free in (("all", by_network), (network, ())):
            name, wanted = first.setdefault(peers, (run.name, settings))
            for key in sorted(settings.keys() | wanted.keys()):
                if settings.get(key) != wanted.get(key) and key not in (*PLACES, *free):
                    raise ValueError(
                        f"{key} is {settings.get(key)} in {run.name} and {wanted.get(key)} in {name}: they do not "
                        "belong to one table"
                    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="finished run folders")
    parser.add_argument("--to", required=True, type=Path, help="folder that gets a folder for each run")
    options = parser.parse_args(arguments)
    try:
        for path in options.runs:
            publish(RunFiles(path), options.to / path.name)
            print(options.to / path.name)
    except RunFolderError as error:
        print(f"publish_run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
