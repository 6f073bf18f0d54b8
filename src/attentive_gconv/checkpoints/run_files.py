"""The files of a run folder: what lies where in it.

config.yaml                    the resolved settings
dataset.json                   classes, image shape, counts, mean and std of the images
environment.json               versions, platform, git revision, command line; one entry a start
metrics.csv                    one row an epoch
tensorboard/                   the same figures for TensorBoard
checkpoints/last.ckpt          the whole state after the last finished epoch; `--resume` continues from it
checkpoints/best.ckpt          the same after the best epoch
checkpoints/last.safetensors   the network alone with what is needed to use it
checkpoints/best.safetensors
predictions.npz                the predicted class and the label of every test image, of the weights that are reported
result.json                    written last, when the run is complete
.lock                          held by the process that trains

config.yaml, dataset.json and result.json hold a SHA-256 of their content; files of earlier versions do not.
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
        """One row an epoch."""
        return self.path / "metrics.csv"

    @property
    def result_file(self) -> Path:
        """The figures of the complete run."""
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
        """Whether there is anything but what a process leaves that was killed before it wrote its settings."""
        return any(entry.name != LOCK and not is_partial(entry) for entry in self.path.iterdir())

    def stored_settings(self) -> dict[str, Any]:
        """What config.yaml holds, unchecked; needs PyYAML."""
        from attentive_gconv.yaml_settings import read_settings

        self.require_run()
        return read_settings(self.config_file, verify=True)


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values and their SHA-256 as JSON, with an atomic write; `read_json` compares it."""
    write_json(path, {**content, DIGEST_KEY: _digest(content)})


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_predictions(path: Path, predicted: np.ndarray, labels: np.ndarray) -> None:
    """Write predicted classes and labels, one an image, with an atomic write."""
    content = io.BytesIO()
    np.savez_compressed(content, predicted=predicted, labels=labels)
    write_atomically(path, content.getvalue())


def read_predictions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Predicted classes and labels, one an image.

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
        raise RunFolderError(f"{path} is damaged ({error}): delete it, and it is made again") from error
    return predicted, labels


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        RunFolderError: if the file is missing, too large, broken, or changed since it was written.
    """
    if not path.is_file():
        raise RunFolderError(f"{path} is missing: the run folder is not complete")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise RunFolderError(f"{path} is larger than {MAX_JSON_BYTES:,} bytes and was not written by this library")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RunFolderError(f"{path} is broken: {error}") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} must hold one JSON object")
    digest = content.pop(DIGEST_KEY, None)
    if digest is not None and digest != _digest(content):
        raise RunFolderError(
            f"{path} is damaged, or was changed by hand: its content has another sha256 than it says; restore it, or "
            f"remove its {DIGEST_KEY} if the change is meant"
        )
    return content
