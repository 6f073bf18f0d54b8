"""A training run from its config to its result."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from rich.console import Console

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.checkpoints.run_files import RunFolderError, read_json, write_record
from attentive_gconv.checkpoints.state_dicts import differences
from attentive_gconv.data import DataSplits, LabelledDataset, load_dataset
from attentive_gconv.data.datasets import DATASETS
from attentive_gconv.environment import describe_environment, require_workers
from attentive_gconv.importing import is_imported
from attentive_gconv.settings import ConfigError
from attentive_gconv.training.checkpoint_io import AtomicCheckpointIO
from attentive_gconv.training.config import PLACES, TrainConfig
from attentive_gconv.training.epoch_files import complete_epoch, read_finished
from attentive_gconv.training.initial import take_initial_weights
from attentive_gconv.training.loaders import RunData
from attentive_gconv.training.module import Classifier
from attentive_gconv.training.optim import make_optimizer, make_schedule
from attentive_gconv.training.parsing import config_from_mapping, config_to_mapping
from attentive_gconv.training.printing import print_plain
from attentive_gconv.training.progress import EpochBar, EpochLines
from attentive_gconv.training.quiet import contained_lightning
from attentive_gconv.training.recipe import flatten, override
from attentive_gconv.training.recorder import RunRecorder
from attentive_gconv.training.run_folder import RunFolder
from attentive_gconv.training.run_lock import locked
from attentive_gconv.training.run_result import MONITORED, TrainResult, measure_result
from attentive_gconv.training.seeding import seed_everything
from attentive_gconv.training.synchronise import SynchroniseBatchNorm
from attentive_gconv.training.termination import stoppable

# settings that may change when a run is resumed: the number of epochs, and where and on what it runs
CHANGEABLE = ("epochs", *PLACES)


def train(config: TrainConfig, out: str | Path, *, console: Console | None = None) -> TrainResult | None:
    """Train a network in a new run folder.

    Args:
        config: the settings, see `load_recipe`.
        out: the run folder; it must not exist, or be empty.
        console: where progress is printed; nowhere by default.

    Returns:
        The result; None in all but the first process of a run on several devices.

    Raises:
        RunFolderError: if the folder is in use. Nothing is written then, nor if the dataset or the network cannot be
            created.
    """
    folder, console = RunFolder(Path(out)), _console(console)
    # on several devices, the first process has created the folder before the others start
    if _is_first_process():
        folder.require_free()
    with stoppable(folder, console), contained_lightning():
        splits = _load(config)
        config = replace(config, dataset=replace(config.dataset, source=splits.source))
        run = _Run(config, folder, splits, console)
        if _is_first_process():
            folder.path.mkdir(parents=True, exist_ok=True)
        with _held(folder):
            return run.start()


def resume(
    out: str | Path, overrides: Mapping[str, Any] | None = None, *, console: Console | None = None
) -> TrainResult | None:
    """Continue a run after its last finished epoch; the result is that of an unbroken run.

    Args:
        out: its run folder.
        overrides: values by dotted field, of `CHANGEABLE` fields: more epochs, and where and on what it runs.
        console: where progress is printed; nowhere by default.

    Raises:
        RunFolderError: if there is no run, it is finished or damaged, or its data have changed.
        ConfigError: if an override would make it another run.
    """
    folder, console = RunFolder(Path(out)), _console(console)
    folder.require_run()
    with stoppable(folder, console), contained_lightning(), _held(folder):
        _require_imports(folder)
        stored = folder.read_config()
        config = config_from_mapping(override(config_to_mapping(stored), overrides or {}))
        _require_same_run(stored, config, folder)
        return _Run(config, folder, _load(config), console).resume()


def _console(console: Console | None) -> Console:
    return console if console is not None and _is_first_process() else Console(quiet=True)


def _held(folder: RunFolder) -> AbstractContextManager[None]:
    """The lock of the folder, which the first process holds for all processes."""
    return locked(folder.path) if _is_first_process() else nullcontext()


def _is_first_process() -> bool:
    return not getattr(rank_zero_only, "rank", 0)


def _load(config: TrainConfig) -> DataSplits:
    data = config.dataset
    return load_dataset(
        data.name,
        data.dir,
        protocol=config.protocol,
        seed=data.seed,
        source=data.source,
        augmentation=data.augmentation,
        augmentation_options=data.augmentation_options,
        dataset_dir=data.folder,
        image_size=data.image_size,
    )


def _require_imports(folder: RunFolder) -> None:
    """Refuse a run whose modules are not imported; a file never causes an import."""
    for name in folder.imports():
        if not is_imported(name):
            raise ConfigError(f"{folder.path} was trained with --import {name}: give it again (in Python, import it)")


def _require_same_run(stored: TrainConfig, wanted: TrainConfig, folder: RunFolder) -> None:
    before, after = (flatten(config_to_mapping(config)) for config in (stored, wanted))
    if stored.schedule.name == "onecycle" and stored.epochs != wanted.epochs:
        raise ConfigError(
            f"epochs (={wanted.epochs}) cannot change in a resumed run with schedule.name=onecycle, whose learning "
            f"rate ends with epoch {stored.epochs}: start another run with another --out than {folder.path}"
        )
    for field in sorted(before.keys() | after.keys()):
        if field not in CHANGEABLE and before.get(field) != after.get(field):
            raise ConfigError(
                f"{field} (={after.get(field)!r}) cannot change in a resumed run, which has {before.get(field)!r}: "
                f"leave it out, or start another run with another --out than {folder.path}"
            )


def _earlier_starts(folder: RunFolder) -> list[dict[str, Any]]:
    starts = read_json(folder.environment_file).get("starts", [])
    if not isinstance(starts, list) or not all(isinstance(start, dict) for start in starts):
        raise RunFolderError(f"{folder.environment_file} is broken: `starts` must list one section for each start")
    return starts


class _Run:
    """One start of a run; everything is created and checked before the run folder is written to."""

    def __init__(self, config: TrainConfig, folder: RunFolder, splits: DataSplits, console: Console) -> None:
        if config.protocol == "validation" and splits.valid is None:
            raise ConfigError(f"protocol (={config.protocol!r}) needs a validation set, and {splits.name} has none")
        require_workers(config.workers * config.devices)
        self.config = config
        self.folder = folder
        self.splits = splits
        self.console = console
        self.monitored = MONITORED[config.protocol]
        self.card = ModelCard.of(
            splits, seed=config.dataset.seed, model=config.model.name, options=config.model.options
        )
        # the initial weights depend on nothing but the seed
        seed_everything(config.seed)
        # memory of the weights, their gradients and two moments of Adam
        self.network = self.card.build(copies=4)
        # before a checkpoint is loaded: Lightning would convert afterwards, and round float64 weights
        dtype = torch.float64 if config.precision == "64-true" else torch.float32
        self.network.to(dtype)
        self.init: dict[str, Any] | None = None
        self.parameters = sum(parameter.numel() for parameter in self.network.parameters())
        with torch.inference_mode():
            # a network that refuses these images does so here, before the folder is written to
            try:
                self.network.eval()(torch.zeros(1, *splits.image_shape, dtype=dtype))
            except ValueError as error:
                if not DATASETS[config.dataset.name].resizable:
                    raise
                raise ValueError(f"{error}; --set dataset.image_size=N scales them to N x N") from error
        self.network.train()
        # likewise an optimizer or a schedule that refuses its settings
        make_schedule(make_optimizer(self.network.parameters(), config.optimizer), config.schedule, steps=100)
        self.recorder = RunRecorder(folder, self.card, self.monitored)
        self.trainer = self._make_trainer()

    def _make_trainer(self) -> L.Trainer:
        config, folder = self.config, self.folder
        bar = self.console.is_terminal and not self.console.quiet
        plugins: list[Any] = [AtomicCheckpointIO()]
        if config.sync_batch_norm and config.processes > 1:
            plugins.append(SynchroniseBatchNorm())
        try:
            # Lightning would only warn, and take another precision than the one asked for
            warnings.filterwarnings("error", message=".*is not supported on CPU. Using.*")
            return L.Trainer(
                accelerator=config.accelerator,
                devices=config.devices,
                num_nodes=config.num_nodes,
                strategy=config.strategy,
                precision=config.precision,
                accumulate_grad_batches=config.accumulate,
                plugins=plugins,
                deterministic=config.deterministic,
                max_epochs=config.epochs,
                callbacks=[self.recorder, EpochLines(self.console, self.recorder), *([EpochBar()] if bar else [])],
                enable_progress_bar=bar,
                logger=TensorBoardLogger(folder.path, name="", version=folder.tensorboard.name),
                num_sanity_val_steps=0,
                limit_val_batches=0 if self.monitored is None else 1.0,
                log_every_n_steps=1,
                use_distributed_sampler=False,
                enable_model_summary=False,
                default_root_dir=folder.path,
            )
        except (MisconfigurationException, ValueError, RuntimeError, UserWarning) as error:
            raise ConfigError(
                f"accelerator={config.accelerator}, devices={config.devices}, precision={config.precision} do not go "
                f"together on this machine: {error}"
            ) from error

    @property
    def monitored_images(self) -> LabelledDataset | None:
        """The split evaluated during training; the test set only under the protocol ``"paper"``."""
        return None if self.monitored is None else self.splits.by_name()[self.monitored]

    def start(self) -> TrainResult | None:
        """Start training in a new folder."""
        self._take_initial_weights()
        if _is_first_process():
            # another process may have written to it in the meantime
            self.folder.require_free()
            self._write_records(0, [])
        return self._fit(None)

    def resume(self) -> TrainResult | None:
        """Continue training in the folder of an interrupted run."""
        folder, finished = self.folder, read_finished(self.folder)
        if finished is not None and (problems := differences(finished.state, self.network.state_dict())):
            raise RunFolderError(
                f"{folder.checkpoint('last')} does not fit {self.card.model}: {'; '.join(problems[:3])}"
            )
        # a start that was interrupted before these were written has trained nothing
        begun = finished is not None or all(file.exists() for file in (folder.dataset_file, folder.environment_file))
        if begun and read_json(folder.dataset_file) != self._dataset_facts():
            raise RunFolderError(
                f"the data of {folder.path} are no longer those it was started with "
                f"({folder.dataset_file.name} differs): restore them, or start another run"
            )
        done = 0 if finished is None else finished.epoch
        if done > self.config.epochs:
            raise ConfigError(f"epochs (={self.config.epochs}) is less than the {done} that are already finished")
        if done == self.config.epochs and folder.result_file.exists():
            raise RunFolderError(f"{folder.path} is complete with its {done} epochs: add some with --epochs")
        starts = _earlier_starts(folder) if begun else []
        if not done:
            self._take_initial_weights(starts)
        if _is_first_process():
            # result.json exists only while it is that of all epochs
            folder.result_file.unlink(missing_ok=True)
            if finished is not None:
                complete_epoch(folder, finished, self.card, self.monitored)
            self._write_records(done, starts)
        print_plain(self.console, f"resuming {folder.path} after epoch {done} of {self.config.epochs}")
        if finished is not None and done == self.config.epochs:
            self.recorder.history = finished.history
            return self._finish()
        return self._fit(folder.checkpoint("last") if done else None)

    def _take_initial_weights(self, starts: Sequence[Mapping[str, Any]] = ()) -> None:
        if self.config.init is None:
            return
        self.init = take_initial_weights(self.network, self.config.init, self.card)
        before = starts[0].get("init") if starts else None
        if isinstance(before, dict) and before.get("sha256") != self.init["sha256"]:
            raise RunFolderError(
                f"init (={self.config.init!r}) no longer holds the weights that {self.folder.path} was started with "
                "(its sha256 differs): restore them, or start another run"
            )
        print_plain(self.console, f"{self.init['network']}: {self.init['summary']}")

    def _write_records(self, epoch: int, starts: list[dict[str, Any]]) -> None:
        self.folder.write_config(self.config)
        write_record(self.folder.dataset_file, self._dataset_facts())
        entry = {"from_epoch": epoch, **describe_environment()}
        if self.init is not None:
            entry["init"] = self.init
        write_record(self.folder.environment_file, {"starts": [*starts, entry]})

    def _dataset_facts(self) -> dict[str, Any]:
        splits = self.splits
        return {
            "name": splits.name,
            "description": splits.description,
            "source": splits.source,
            "classes": list(splits.classes),
            "image_shape": list(splits.image_shape),
            "counts": {name: len(split) for name, split in splits.by_name().items()},
            "mean": list(splits.mean),
            "std": list(splits.std),
            "transposed": splits.transposed,
            "protocol": splits.protocol,
        }

    def _fit(self, checkpoint: Path | None) -> TrainResult | None:
        config, splits = self.config, self.splits
        module = Classifier(self.network, len(splits.classes), config, config.steps(len(splits.train)), self.monitored)
        data = RunData(
            splits.train,
            self.monitored_images,
            batch_size=config.batch_size,
            shares=config.shares,
            workers=config.workers,
            seed=config.seed,
        )
        monitored = self.monitored_images
        kind = "validation" if self.monitored == "valid" else self.monitored
        count = "no" if monitored is None else f"{len(monitored):,} {kind}"
        print_plain(
            self.console,
            f"{config.model.name} ({self.parameters:,} parameters) on {splits.name}: "
            f"{len(splits.train):,} training images, {count} images evaluated during training",
        )
        # weights_only: a checkpoint is read as data, no code in it runs
        self.trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        return self._finish()

    def _finish(self) -> TrainResult | None:
        if not self.trainer.is_global_zero:
            return None
        device = self.trainer.strategy.root_device
        result = measure_result(self.folder, self.config, self.splits, self.recorder.history, device)
        write_record(self.folder.result_file, asdict(result))
        return result
