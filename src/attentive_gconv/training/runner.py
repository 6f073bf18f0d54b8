"""A training run from its config to its result."""

import pickle
import statistics
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from rich.console import Console

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.checkpoints.run_files import RunFolderError, read_json
from attentive_gconv.checkpoints.weights import load_weights
from attentive_gconv.data import DataSplits, LabelledDataset, load_dataset
from attentive_gconv.environment import describe_environment
from attentive_gconv.files import write_json
from attentive_gconv.inference.evaluation import Evaluation, evaluate
from attentive_gconv.training.config import ConfigError, TrainConfig
from attentive_gconv.training.loaders import RunData
from attentive_gconv.training.module import Classifier
from attentive_gconv.training.parsing import config_from_mapping, config_to_mapping
from attentive_gconv.training.progress import EpochLines
from attentive_gconv.training.quiet import contained_lightning
from attentive_gconv.training.recipe import flatten, override
from attentive_gconv.training.recorder import RunRecorder
from attentive_gconv.training.run_folder import RunFolder
from attentive_gconv.training.seeding import seed_everything
from attentive_gconv.training.synchronise import SynchroniseBatchNorm

# what may differ when a run is resumed: more epochs, and where and on what it runs
CHANGEABLE = (
    *("epochs", "accelerator", "devices", "num_nodes", "strategy", "workers"),
    *("dataset.dir", "dataset.folder"),
)

SELECTION = {
    "validation": "lowest error on the held-out part of the training images; tested once, with these weights",
    "final": "last epoch; nothing is held out, nothing is chosen, the test set is used once",
    "paper": "last epoch; `best_test` is selected on the test set, as the authors did",
}


# the split evaluated during training
WATCHED: dict[str, str | None] = {"validation": "valid", "final": None, "paper": "test"}


@dataclass(frozen=True)
class TrainResult:
    """The outcome of a complete run, as result.json holds it. Errors are fractions of 1.

    Attributes:
        test_error: of the weights that the protocol reports: the best epoch's (``"validation"``) or the last one's
            (``"final"`` and ``"paper"``).
        best_epoch: the epoch with the lowest error on the held-out images (``"paper"``: on the test images); None under
            the ``"final"`` protocol.
        valid_error: that lowest error on the held-out images; None under the other protocols.
        best_test: under the ``"paper"`` protocol, epoch and test error of the best epoch, selected on the test set.
        seconds_per_epoch: the median, of training and looking at the watched images.
    """

    dataset: str
    model: str
    parameters: int
    protocol: str
    selection: str
    seed: int
    epochs: int
    test_images: int
    test_error: float
    best_epoch: int | None
    valid_error: float | None
    best_test: dict[str, float] | None
    seconds_per_epoch: float


def train(config: TrainConfig, out: str | Path, *, console: Console | None = None) -> TrainResult | None:
    """Train a network in a new run folder.

    Args:
        config: the settings, see `load_recipe`.
        out: the run folder; it must not exist, or be empty.
        console: where progress is printed; nowhere by default.

    Returns:
        The result; None on the further processes of a run on several devices.

    Raises:
        RunFolderError: if the folder is in use. Nothing is written then, nor when the dataset or the network cannot
            be made.
    """
    folder = RunFolder(Path(out))
    # the further processes of a run on several devices start when the first has made the folder
    if _is_first_process():
        folder.require_free()
    splits = _load(config)
    config = replace(config, dataset=replace(config.dataset, source=splits.source))
    with contained_lightning():
        return _Run(config, folder, splits, console).start()


def resume(
    out: str | Path, overrides: Mapping[str, Any] | None = None, *, console: Console | None = None
) -> TrainResult | None:
    """Continue a run after its last finished epoch; the result is that of an unbroken run.

    Args:
        out: its run folder.
        overrides: dotted fields that differ from now on; only more epochs, and where and on what it runs.
        console: where progress is printed; nowhere by default.

    Raises:
        RunFolderError: if there is no run, it is complete, it is damaged, or its data are no longer the same.
        ConfigError: if an override would make it another run.
    """
    folder = RunFolder(Path(out))
    stored = folder.read_config()
    config = config_from_mapping(override(config_to_mapping(stored), overrides or {}))
    _require_same_run(stored, config, folder)
    splits = _load(config)
    with contained_lightning():
        return _Run(config, folder, splits, console).resume()


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
        dataset_dir=data.folder,
        image_size=data.image_size,
    )


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


class _Run:
    """One start of a run: everything it needs, made and checked before its folder is touched."""

    def __init__(self, config: TrainConfig, folder: RunFolder, splits: DataSplits, console: Console | None) -> None:
        if config.protocol == "validation" and splits.valid is None:
            raise ConfigError(f"protocol (={config.protocol!r}) needs held-out images, and {splits.name} has none")
        self.config = config
        self.folder = folder
        self.splits = splits
        self.console = console if console is not None and _is_first_process() else Console(quiet=True)
        self.watched = WATCHED[config.protocol]
        self.card = ModelCard.of(
            splits, seed=config.dataset.seed, model=config.model.name, options=config.model.options
        )
        # the initial weights are drawn here and from nothing but the seed
        seed_everything(config.seed)
        self.network = self.card.build()
        # Lightning converts it only after it has filled it from a checkpoint, which would round what is resumed
        dtype = torch.float64 if config.precision == "64-true" else torch.float32
        self.network.to(dtype)
        self.parameters = sum(parameter.numel() for parameter in self.network.parameters())
        with torch.inference_mode():
            # a network that cannot take these images says so here, while the folder is still untouched
            self.network.eval()(torch.zeros(1, *splits.image_shape, dtype=dtype))
        self.network.train()
        self.recorder = RunRecorder(folder, self.card, self.watched)
        self.trainer = self._make_trainer()

    def _make_trainer(self) -> L.Trainer:
        config, folder = self.config, self.folder
        try:
            # Lightning would take another precision than the one asked for, with a mere warning
            warnings.filterwarnings("error", message=".*is not supported on CPU. Using.*")
            return L.Trainer(
                accelerator=config.accelerator,
                devices=config.devices,
                num_nodes=config.num_nodes,
                strategy=config.strategy,
                precision=config.precision,
                accumulate_grad_batches=config.accumulate,
                plugins=[SynchroniseBatchNorm()] if config.sync_batch_norm and config.processes > 1 else None,
                deterministic=config.deterministic,
                max_epochs=config.epochs,
                callbacks=[self.recorder, EpochLines(self.console, self.recorder)],
                logger=TensorBoardLogger(folder.path, name="", version=folder.tensorboard.name),
                num_sanity_val_steps=0,
                limit_val_batches=0 if self.watched is None else 1.0,
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
    def watched_images(self) -> LabelledDataset | None:
        """The images evaluated during training: the test images under the paper's protocol alone."""
        return None if self.watched is None else self.splits.by_name()[self.watched]

    def start(self) -> TrainResult | None:
        """Make the folder and train in it."""
        if _is_first_process():
            self.folder.path.mkdir(parents=True, exist_ok=True)
            self.folder.write_config(self.config)
            write_json(self.folder.dataset_file, self._dataset_facts())
            write_json(self.folder.environment_file, {"starts": [{"from_epoch": 0, **describe_environment()}]})
        return self._fit(None)

    def resume(self) -> TrainResult | None:
        """Train on in the folder of an earlier start."""
        checkpoint = self.folder.checkpoint("last")
        # a start that ended before these were written has trained nothing
        records = (self.folder.dataset_file, self.folder.environment_file)
        begun = checkpoint.exists() or all(file.exists() for file in records)
        if begun and read_json(self.folder.dataset_file) != self._dataset_facts():
            raise RunFolderError(
                f"the data of {self.folder.path} are no longer those it was started with "
                f"({self.folder.dataset_file.name} differs): restore them, or start another run"
            )
        done = _finished_epochs(checkpoint) if checkpoint.exists() else 0
        if done > self.config.epochs:
            raise ConfigError(f"epochs (={self.config.epochs}) is less than the {done} that are already finished")
        if done == self.config.epochs and self.folder.result_file.exists():
            raise RunFolderError(f"{self.folder.path} is complete with its {done} epochs: add some with --epochs")
        if _is_first_process():
            starts = read_json(self.folder.environment_file).get("starts", []) if begun else []
            self.folder.write_config(self.config)
            write_json(self.folder.dataset_file, self._dataset_facts())
            entry = {"from_epoch": done, **describe_environment()}
            write_json(self.folder.environment_file, {"starts": [*starts, entry]})
        self.console.print(f"resuming {self.folder.path} after epoch {done} of {self.config.epochs}", highlight=False)
        return self._fit(checkpoint if done else None)

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
        module = Classifier(self.network, len(splits.classes), config, config.steps(len(splits.train)), self.watched)
        data = RunData(
            splits.train,
            self.watched_images,
            batch_size=config.batch_size,
            shares=config.shares,
            workers=config.workers,
            seed=config.seed,
        )
        watched = self.watched_images
        seen = "no images evaluated before the end" if watched is None else f"{len(watched):,} {self.watched} images"
        self.console.print(
            f"{config.model.name} ({self.parameters:,} parameters) on {splits.name}: "
            f"{len(splits.train):,} training images, {seen}",
            highlight=False,
        )
        # weights_only: a checkpoint is data, nothing in it is executed
        self.trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        if not self.trainer.is_global_zero:
            return None
        result = self._result(self.trainer.strategy.root_device)
        write_json(self.folder.result_file, asdict(result))
        return result

    def _result(self, device: torch.device) -> TrainResult:
        best, protocol = self.recorder.best, self.config.protocol
        final = self._test("best" if protocol == "validation" else "last", device)
        best_test = None
        if best is not None and protocol == "paper":
            best_test = {"epoch": int(best["epoch"] or 0), "test_error": self._test("best", device).error}
        return TrainResult(
            dataset=self.splits.name,
            model=self.config.model.name,
            parameters=self.parameters,
            protocol=protocol,
            selection=SELECTION[protocol],
            seed=self.config.seed,
            epochs=len(self.recorder.history),
            test_images=final.images,
            test_error=final.error,
            best_epoch=None if best is None else int(best["epoch"] or 0),
            valid_error=best["valid_error"] if best is not None and protocol == "validation" else None,
            best_test=best_test,
            seconds_per_epoch=statistics.median(row["seconds"] or 0 for row in self.recorder.history),
        )

    def _test(self, which: str, device: torch.device) -> Evaluation:
        dtype = torch.float64 if self.config.precision == "64-true" else torch.float32
        module = load_weights(self.folder.weights(which)).module
        return evaluate(
            module,
            self.splits.test,
            self.splits.classes,
            rotations=False,
            workers=self.config.workers,
            dtype=dtype,
            device=device,
        )


def _finished_epochs(checkpoint: Path) -> int:
    """How many epochs a checkpoint of Lightning's holds; reading it also shows that it is whole."""
    try:
        content = torch.load(checkpoint, weights_only=True, map_location="cpu")
        return int(content["epoch"]) + 1
    except (RuntimeError, OSError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{checkpoint} is damaged and cannot be resumed from: start the run again with another --out; "
            f"weights beside it may still be whole ({type(error).__name__}: {str(error).splitlines()[0]})"
        ) from error
