"""The files of a run folder.

config.yaml                    the resolved settings
dataset.json                   classes, image shape, counts, mean and std of the dataset
environment.json               provenance: versions, platform, git revision, command line; one entry for each start
metrics.csv                    one row for each epoch
tensorboard/                   the same for TensorBoard
checkpoints/last.ckpt          the state of training after the last finished epoch; `--resume` continues from it
checkpoints/best.ckpt          the same after the best epoch
checkpoints/last.safetensors   the network's weights with their model card
checkpoints/best.safetensors
predictions.npz                predicted class and label of every test image, with the reported weights
result.json                    written last, when the run is finished
.lock                          held by the process that trains

config.yaml and the JSON files hold a SHA-256 of their content; files of earlier versions do not.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attentive_gconv.files import is_partial, write_atomically, write_json

MAX_JSON_BYTES = 10_000_000
LOCK = ".lock"
DIGEST_KEY = "sha256"


class RunFolderError(ValueError):
    """A run folder that cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class RunFiles:
    """The paths of a run's files."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The resolved settings."""
        return self.path / "config.yaml"

    @property
    def dataset_file(self) -> Path:
        """The facts about the dataset."""
        return self.path / "dataset.json"

    @property
    def environment_file(self) -> Path:
        """Versions, platform and command line of every start."""
        return self.path / "environment.json"

    @property
    def metrics_file(self) -> Path:
        """One row for each epoch."""
        return self.path / "metrics.csv"

    @property
    def result_file(self) -> Path:
        """The figures of the finished run."""
        return self.path / "result.json"

    @property
    def predictions_file(self) -> Path:
        """The predictions of the test images."""
        return self.path / "predictions.npz"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    def checkpoint(self, which: str) -> Path:
        """Lightning's checkpoint, ``"last"`` or ``"best"``."""
        return self.path / "checkpoints" / f"{which}.ckpt"

    def weights(self, which: str) -> Path:
        """The weights, ``"last"`` or ``"best"``."""
        return self.path / "checkpoints" / f"{which}.safetensors"

    def require_run(self) -> None:
        """Refuse a folder that no run was started in.

        Raises:
            RunFolderError: if there is no such folder, or it has no config.yaml.
        """
        if not self.path.is_dir():
            raise RunFolderError(f"there is no run folder {self.path}; start one with `agconv train DATASET --out ...`")
        if not self.config_file.is_file():
            remedy = "" if self.holds_something() else "; nothing was trained in it, start it again without --resume"
            raise RunFolderError(f"{self.path} is no run folder: it has no {self.config_file.name}{remedy}")

    def holds_something(self) -> bool:
        """Whether the folder holds more than leftovers of a process that was killed before it wrote its settings."""
        return any(entry.name != LOCK and not is_partial(entry) for entry in self.path.iterdir())

    def stored_settings(self) -> dict[str, Any]:
        """The content of config.yaml, unchecked; needs PyYAML."""
        from attentive_gconv.yaml_settings import read_settings

        self.require_run()
        return read_settings(self.config_file, verify=True)


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values and their SHA-256 as JSON, with an atomic write; `read_json` compares it."""
    write_json(path, {**content, DIGEST_KEY: _digest(content)})


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_predictions(path: Path, predicted: np.ndarray, labels: np.ndarray) -> None:
    """Write the predicted class and the label of every image, with an atomic write."""
    content = io.BytesIO()
    np.savez_compressed(content, predicted=predicted, labels=labels)
    write_atomically(path, content.getvalue())


def read_predictions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the predicted class and the label of every image.

    Raises:
        RunFolderError: if the file is missing or damaged.
    """
    if not path.is_file():
        raise RunFolderError(f"{path} is missing: the run folder is not complete")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
            predicted, labels = content["predicted"], content["labels"]
        if predicted.shape != labels.shape or predicted.ndim != 1:
            raise ValueError(f"shapes {predicted.shape} and {labels.shape}")
    except Exception as error:  # on damaged bytes numpy and zipfile raise a dozen types
        raise RunFolderError(f"{path} is damaged ({error}): delete it, and it is written again") from error
    return predicted, labels


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        RunFolderError: if the file is missing, too large, broken, or changed since it was written.
    """
    if not path.is_file():
        raise RunFolderError(f"{path} is missing: the run folder is not complete")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise RunFolderError(f"{path} is larger than {MAX_JSON_BYTES:,} bytes: this library did not write it")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: JSON, UTF-8, or numbers of thousands of digits
        raise RunFolderError(f"{path} is broken: {error}") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} must hold one JSON object")
    digest = content.pop(DIGEST_KEY, None)
    if digest is not None and digest != _digest(content):
        raise RunFolderError(
            f"{path} is damaged, or was changed by hand: its content has another sha256 than it says; restore it, or "
            f"remove its {DIGEST_KEY} if the change is intended"
        )
    return content
