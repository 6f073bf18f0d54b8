"""Open a trained network: a run folder, a file of weights, shipped weights, or one of the authors' checkpoints."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.checkpoints.pretrained import load_shipped
from attentive_gconv.checkpoints.reconcile import reconcile
from attentive_gconv.checkpoints.reference import load_reference_checkpoint
from attentive_gconv.checkpoints.run_files import RunFiles
from attentive_gconv.checkpoints.weights import TrainedModel, load_weights, read_card
from attentive_gconv.data import DataSplits, load_dataset
from attentive_gconv.data.datasets import DATASETS
from attentive_gconv.lookup import find
from attentive_gconv.models import model_entry
from attentive_gconv.models.shipped_cards import list_pretrained, pretrained_file, pretrained_name
from attentive_gconv.settings import ConfigError


@dataclass(frozen=True)
class OpenedModel:
    """A trained network and the dataset it belongs to.

    Attributes:
        trained: the network and its model card.
        origin: the file of weights.
        run: the run folder; None if it was opened from a file.
        folders: without a run, ``dir``, the folder of the datasets, and ``folder``, that of the user's own images.
    """

    trained: TrainedModel
    origin: Path
    run: RunFiles | None = None
    folders: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def data_dir(self) -> str | None:
        """The folder of the datasets."""
        return self._folder("dir")

    @property
    def dataset_dir(self) -> str | None:
        """The folder of the user's own images."""
        return self._folder("folder")

    def _folder(self, name: str) -> str | None:
        if self.run is None:
            return self.folders.get(name)
        section = self.run.stored_settings().get("dataset")
        value = section.get(name) if isinstance(section, dict) else None
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{self.run.config_file}: dataset.{name} (={value!r}) must be the path of a folder")
        return value

    def load_splits(
        self, data_dir: str | None = None, dataset: str | None = None, dataset_dir: str | None = None
    ) -> DataSplits:
        """Load the dataset that the network was trained on, without augmentation; or another dataset by name.

        Order of the classes, axes, mean and std are converted to those of the model card, see
        `attentive_gconv.checkpoints.reconcile`.

        Args:
            data_dir: the folder of the datasets; by default that of the run.
            dataset: the name of another dataset.
            dataset_dir: the folder of the user's own images; by default that of the run.

        Raises:
            ConfigError: if the dataset has other classes, or images of another shape, than the network was trained on.
        """
        card = self.trained.card
        name = dataset or card.dataset
        options: dict[str, Any] = {"dataset_dir": dataset_dir}
        if name == card.dataset:
            options |= {"protocol": card.protocol, "seed": card.dataset_seed, "source": card.source}
        entry = find("dataset", name, DATASETS)
        if entry.own_folder:
            options["dataset_dir"] = dataset_dir or self.dataset_dir
        if entry.resizable:
            options["image_size"] = _side(card)
        return reconcile(load_dataset(name, data_dir or self.data_dir, **options), card)


def open_model(
    target: str | Path,
    *,
    which: str | None = None,
    model: str | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    dataset_dir: str | None = None,
) -> OpenedModel:
    """Open a trained network, in eval mode.

    Args:
        target: a run folder, a ``.safetensors`` file, one of the authors' ``.pth`` files, or (where there is no such
            file) the name of shipped weights, whose network then takes upright images.
        which: for a run folder, the ``"best"`` or the ``"last"`` weights; None for those that its protocol reports.
        model: for a ``.pth`` file, the name of its network.
        dataset: for a ``.pth`` file, the dataset it was trained on, which gives classes, mean and std.
        data_dir: for a ``.pth`` file, the folder of the datasets.
        dataset_dir: for a ``.pth`` file, the folder of the user's own images.

    Raises:
        ConfigError: if an argument is missing or has no meaning for this target.
        FileNotFoundError: if the target does not exist.
    """
    path = Path(target)
    shipped_name = None if path.exists() else _shipped_name(str(target))
    if shipped_name is not None:
        path = pretrained_file(shipped_name)
    if not path.exists():
        shipped = ", ".join(list_pretrained())
        remedy = f"; networks that come with the package: {shipped}" if shipped else ""
        raise FileNotFoundError(f"there is no run folder or file of weights {path}{remedy}")
    if which is not None and not path.is_dir():
        raise ConfigError(f"weights (={which!r}) chooses within a run folder, and {path} is a file: leave it out")
    if path.suffix in (".onnx", ".pt2"):
        raise ConfigError(
            f"{path} is an exported graph, without the modules of the network: give the run folder or the weights it "
            "was exported from; `agconv predict` and `agconv evaluate` take .onnx files"
        )
    if path.suffix in (".pth", ".pt"):
        if model is None or dataset is None:
            raise ConfigError(f"{path} holds weights alone: name its network (--model) and its images (--dataset)")
        return _open_reference(path, model, dataset, data_dir, dataset_dir)
    if model is not None:
        raise ConfigError(f"model (={model!r}) has no meaning for {path}, which names its network: leave it out")
    if path.is_dir():
        return _open_run(RunFiles(path), which)
    return OpenedModel(load_weights(path) if shipped_name is None else load_shipped(shipped_name), path)


def _shipped_name(target: str) -> str | None:
    """Full name of the shipped weights that the target names; None if it names none."""
    names = list_pretrained()
    return pretrained_name(target) if target in {*names, *(name.partition(".")[0] for name in names)} else None


def _open_run(folder: RunFiles, which: str | None) -> OpenedModel:
    folder.require_run()
    last = folder.weights("last")
    if which is None:
        which = "best" if last.is_file() and read_card(last).protocol == "validation" else "last"
    weights = folder.weights(which)
    if not weights.exists():
        raise FileNotFoundError(
            f"{folder.path} has no {weights.name} yet: no epoch is finished; continue the run with "
            f"`agconv train --resume --out {shlex.quote(str(folder.path))}`"
        )
    return OpenedModel(load_weights(weights), weights, folder)


def _side(card: ModelCard) -> int | None:
    """The ``image_size`` of a dataset for this network; None if its images are not square."""
    height, width = card.image_shape[1:]
    return height if height == width else None


def _open_reference(path: Path, model: str, dataset: str, data_dir: str | None, dataset_dir: str | None) -> OpenedModel:
    module = load_reference_checkpoint(path, model)
    # the authors standardised with the figures of all training images
    entry = find("dataset", dataset, DATASETS)
    splits = load_dataset(
        dataset,
        data_dir,
        protocol="validation" if entry.official_validation else "paper",
        dataset_dir=dataset_dir,
        image_size=model_entry(model).image_shape[-1] if entry.resizable else None,
    )
    network = model_entry(model)
    if (network.num_classes, network.image_shape) != (len(splits.classes), splits.image_shape):
        raise ConfigError(
            f"dataset (={dataset!r}) has {len(splits.classes)} classes of images {splits.image_shape}, {model} is for "
            f"{network.num_classes} of {network.image_shape}: name the dataset that {path} was trained on"
        )
    card = ModelCard.of(splits, seed=0, model=model, options={})
    return OpenedModel(TrainedModel(module, card), path, folders={"dir": data_dir, "folder": dataset_dir})
