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
result.json                    written when the run is complete
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 10_000_000


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
            raise RunFolderError(f"{self.path} is no run folder: it has no {self.config_file.name}")

    def stored_settings(self) -> dict[str, Any]:
        """What config.yaml holds, unchecked; needs PyYAML."""
        from attentive_gconv.yaml_settings import read_settings

        self.require_run()
        return read_settings(self.config_file)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises:
        RunFolderError: if the file is missing, too large, broken, or holds something else.
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
    return content
