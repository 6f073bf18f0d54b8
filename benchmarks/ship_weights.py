"""Put the weights of finished runs into the package, each with its card.

    python benchmarks/ship_weights.py runs/z2cnn runs/p4cnn runs/alpha_f_p4cnn

The weights are those that the run's protocol reports. Refused: runs that are not finished, runs that chose their epoch
on the test images, and options that `create_model(NAME)` does not have. The folders of the data and the run,
which say nothing about the result, are left out of the command.
"""

import argparse
import hashlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

from attentive_gconv.checkpoints import ModelCard, load_weights
from attentive_gconv.checkpoints.run_files import read_json
from attentive_gconv.files import write_atomically, write_json
from attentive_gconv.models import model_entry
from attentive_gconv.models.shipped_cards import FOLDER
from attentive_gconv.training import RunFolder, RunFolderError
from provenance import without_folders


def card_of(run: RunFolder, weights: bytes) -> dict[str, Any]:
    """What is to be known of the weights.

    Raises:
        RunFolderError: if the run is not finished, or chose its epoch on the test images.
    """
    config = run.read_config()
    if not run.result_file.is_file():
        raise RunFolderError(f"{run.path} is not finished: it has no {run.result_file.name}")
    result, dataset, environment = (
        read_json(file) for file in (run.result_file, run.dataset_file, run.environment_file)
    )
    if config.protocol == "paper":
        raise RunFolderError(f"{run.path} ran under the protocol 'paper': weights come from 'final' or 'validation'")
    starts = environment["starts"]
    return {
        "model": result["model"],
        "sha256": hashlib.sha256(weights).hexdigest(),
        "bytes": len(weights),
        "parameters": result["parameters"],
        "data": dataset["description"],
        "counts": dataset["counts"],
        "mean": dataset["mean"],
        "std": dataset["std"],
        "transposed": dataset["transposed"],
        "protocol": result["protocol"],
        "selection": result["selection"],
        "seed": result["seed"],
        "epochs": result["epochs"],
        "best_epoch": result["best_epoch"],
        "valid_error": result["valid_error"],
        "test_error": result["test_error"],
        "test_images": result["test_images"],
        "seconds_per_epoch": result["seconds_per_epoch"],
        "commands": [" ".join(without_folders(start["command"])) for start in starts],
        **{key: starts[-1][key] for key in ("python", "platform", "gpus", "threads", "packages", "git_revision")},
    }


def unusual_options(card: ModelCard) -> dict[str, Any]:
    """The options in which a network differs from the registry's."""
    entry = model_entry(card.model)
    usual = {name: parameter.default for name, parameter in inspect.signature(entry.build).parameters.items()}
    usual |= entry.defaults
    return {name: value for name, value in card.options.items() if usual[name] != value}


def ship(path: Path, folder: Path = FOLDER) -> Path:
    """Copy the weights of one run, and write their card beside them.

    Raises:
        RunFolderError: as `card_of`, or if the network is not the registry's.
    """
    run = RunFolder(path)
    weights = run.weights("last" if run.read_config().protocol == "final" else "best")
    content = weights.read_bytes() if weights.is_file() else b""
    card = card_of(run, content)
    if options := unusual_options(load_weights(weights).card):
        raise RunFolderError(f"{path} has the options {options}: only networks as `create_model(NAME)` makes them")
    tag = run.read_config().dataset.name.replace("-", "_")
    target = folder / f"{card['model']}.{tag}.safetensors"
    write_atomically(target, content)
    write_json(target.with_suffix(".json"), card)
    return target


def main() -> None:
    """Read the command line and ship."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of `agconv train`")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the weights (default: that of the package)")
    arguments = parser.parse_args()
    for path in arguments.runs:
        try:
            target = ship(path, arguments.out)
        except (RunFolderError, ValueError) as error:
            sys.exit(f"ship_weights: {error}")
        card = json.loads(target.with_suffix(".json").read_text())
        print(f"{target.name}: {card['bytes']:,} bytes, test error {100 * card['test_error']:.2f} %")


if __name__ == "__main__":
    main()
