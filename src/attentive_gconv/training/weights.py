"""Trained weights as safetensors files, with everything needed to use them in the file's metadata."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attentive_gconv.data import DataSplits
from attentive_gconv.files import write_atomically
from attentive_gconv.models import create_model
from attentive_gconv.training.config import ConfigError
from attentive_gconv.training.parsing import dataclass_from_mapping

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save
except ImportError as error:
    raise ImportError("weights need safetensors: pip install 'attentive-gconv[train]'") from error

METADATA_KEY = "attentive_gconv"


class WeightsError(ValueError):
    """A file of weights that cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class ModelCard:
    """What has to be known beside the weights.

    Attributes:
        model, options: name and options for `attentive_gconv.create_model`.
        classes: the names of the classes, in the order of the logits.
        image_shape: ``(C, Y, X)`` of an input image.
        mean, std: one number a channel; an input image is standardised with them.
        transposed: whether the images of the dataset are stored columns first, so that an upright picture has to be
            transposed before it looks like them.
        dataset, source, dataset_seed, protocol: the arguments for `attentive_gconv.data.load_dataset`.
        epoch: after how many epochs the weights were saved; 0 if that is not known.
    """

    model: str
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset: str
    source: str
    dataset_seed: int
    protocol: str
    epoch: int
    transposed: bool
    options: dict[str, Any]

    def __post_init__(self) -> None:
        if len(self.image_shape) != 3 or min(self.image_shape) < 1 or max(self.image_shape) > 4096:
            raise ConfigError(f"image_shape (={self.image_shape}) must be three sizes from 1 to 4096: C, Y, X")
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.image_shape[0]:
                raise ConfigError(f"{name} (={getattr(self, name)}) must hold {self.image_shape[0]} numbers")
        if min(self.std) <= 0:
            raise ConfigError(f"std (={self.std}) must be positive")
        if len(self.classes) < 2:
            raise ConfigError(f"classes (={self.classes}) must hold at least two names")

    @classmethod
    def of(cls, splits: DataSplits, *, seed: int, model: str, options: dict[str, Any]) -> "ModelCard":
        """The card of a network for the images of these splits, which were made with this seed."""
        return cls(
            model=model,
            options=options,
            classes=splits.classes,
            image_shape=splits.image_shape,
            mean=splits.mean,
            std=splits.std,
            transposed=splits.transposed,
            dataset=splits.name,
            source=splits.source,
            dataset_seed=seed,
            protocol=splits.protocol,
            epoch=0,
        )


@dataclass(frozen=True)
class TrainedModel:
    """A network in eval mode, and what has to be known to use it."""

    module: nn.Module
    card: ModelCard


def save_weights(path: Path, module: nn.Module, card: ModelCard) -> None:
    """Write a network's state and its card, whole or not at all."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    write_atomically(path, save(state, metadata={METADATA_KEY: json.dumps(asdict(card))}))


def load_weights(path: str | Path) -> TrainedModel:
    """The network of a ``.safetensors`` file that `save_weights` wrote.

    Shapes are compared before anything large is allocated; nothing in the file is executed.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if the file is broken, not from this library, or does not fit the network that it names.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of weights {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            if METADATA_KEY not in metadata:
                raise WeightsError(f"{path} was not written by `agconv train`: it does not say which network it holds")
            card = _read_card(path, metadata[METADATA_KEY])
            _require_fit(path, card, shapes)
            state = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error}); copy or train it again") from error
    module = build_model(card)
    # a run in float64 keeps what it has
    module.to(next(tensor.dtype for tensor in state.values() if tensor.is_floating_point()))
    module.load_state_dict(state)
    return TrainedModel(module.eval(), card)


def build_model(card: ModelCard) -> nn.Module:
    """The network that a card describes, with fresh weights.

    Raises:
        ConfigError: if there is no such network, or it has no such option or value.
    """
    try:
        return create_model(card.model, num_classes=len(card.classes), in_channels=card.image_shape[0], **card.options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"model.name={card.model} cannot be made: {error}") from error


def _read_card(path: Path, text: str) -> ModelCard:
    try:
        content = json.loads(text)
        known = {entry.name for entry in fields(ModelCard)}
        if not isinstance(content, dict) or set(content) != known:
            raise ConfigError(f"its metadata must hold {', '.join(sorted(known))}")
        return dataclass_from_mapping(ModelCard, content)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        raise WeightsError(f"{path} describes no network of this version: {error}") from error


def _require_fit(path: Path, card: ModelCard, shapes: dict[str, tuple[int, ...]]) -> None:
    try:
        with torch.device("meta"):
            wanted = {name: tuple(tensor.shape) for name, tensor in build_model(card).state_dict().items()}
    except ConfigError as error:
        raise WeightsError(f"{path} names a network that cannot be built: {error}") from error
    if wanted == shapes:
        return
    missing = sorted(set(wanted) - set(shapes))
    left_over = sorted(set(shapes) - set(wanted))
    differing = sorted(name for name in set(shapes) & set(wanted) if shapes[name] != wanted[name])
    raise WeightsError(
        f"{path} does not fit {card.model}: missing {missing}, left over {left_over}, of another shape {differing}; "
        "it was written by another version, or damaged"
    )
