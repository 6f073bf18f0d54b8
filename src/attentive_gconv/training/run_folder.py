"""A run folder for training: checks that it is free, and its settings."""

import shlex
from dataclasses import dataclass

from attentive_gconv.checkpoints.run_files import RunFiles, RunFolderError
from attentive_gconv.files import write_atomically
from attentive_gconv.training.config import TrainConfig
from attentive_gconv.training.parsing import config_from_mapping, config_to_mapping
from attentive_gconv.yaml_settings import dump_settings, signed


@dataclass(frozen=True)
class RunFolder(RunFiles):
    """A run folder; `attentive_gconv.checkpoints.run_files` lists its files."""

    def require_free(self) -> None:
        """Refuse a folder that is not empty.

        Raises:
            RunFolderError: if the path is a file, or a folder that holds more than leftovers of a process that was
                killed before it wrote its settings.
        """
        if self.path.is_file():
            raise RunFolderError(f"--out {self.path} is a file: give the name of a new folder")
        if self.path.is_dir() and self.holds_something():
            remedy = "continue it with --resume, or give another --out" if self.config_file.exists() else "give another"
            raise RunFolderError(f"--out {self.path} exists and is not empty: {remedy}; nothing was changed")

    def how_to_continue(self) -> str:
        """The command that resumes the run, for messages."""
        if not self.config_file.exists():
            return "nothing was trained: start it again"
        imports = "".join(f" --import {shlex.quote(name)}" for name in self.imports())
        return f"continue with: agconv train{imports} --resume --out {shlex.quote(str(self.path))}"

    def imports(self) -> list[str]:
        """The modules that ``--import`` imported when the run was started."""
        names = self.stored_settings().get("imports") or []
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def write_config(self, config: TrainConfig) -> None:
        """Write the resolved settings."""
        write_atomically(self.config_file, signed(dump_settings(config_to_mapping(config))).encode())

    def read_config(self) -> TrainConfig:
        """The settings the run was started with.

        Raises:
            RunFolderError: if there is no run, or its settings are refused.
            ConfigError: if its config.yaml is damaged.
        """
        settings = self.stored_settings()
        try:
            return config_from_mapping(settings)
        except ValueError as error:
            raise RunFolderError(f"{self.config_file}: {error}") from error
