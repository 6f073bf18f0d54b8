"""The model card: the network that weights belong to, its classes and its preprocessing."""

import json
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from attentive_gconv.data import DataSplits
from attentive_gconv.environment import memory_bytes
from attentive_gconv.models import build_model
from attentive_gconv.settings import LARGEST_SIDE, ConfigError, dataclass_from_mapping


@dataclass(frozen=True)
class ModelCard:
    """What is needed to use a network's weights.

    Attributes:
        model, options: name and options for `attentive_gconv.create_model`.
        classes: names of the classes, in the order of the logits.
        image_shape: ``(C, Y, X)`` of an input image.
        mean, std: one number for each channel, with which an input image is standardised.
        transposed: whether the network takes images with rows and columns exchanged, as rot-MNIST stores them.
        dataset, source, dataset_seed, protocol: arguments for `attentive_gconv.data.load_dataset`.
        epoch: number of epochs after which the weights were saved; 0 if unknown.
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
        if len(self.image_shape) != 3 or not all(1 <= side <= LARGEST_SIDE for side in self.image_shape):
            raise ConfigError(
                f"image_shape (={self.image_shape}) must be three sizes from 1 to {LARGEST_SIDE}: C, Y, X"
            )
        for name in ("mean", "std"):
            if len(getattr(self, name)) != self.image_shape[0]:
                raise ConfigError(f"{name} (={getattr(self, name)}) must hold {self.image_shape[0]} numbers")
        if min(self.std) <= 0:
            raise ConfigError(f"std (={self.std}) must be positive")
        if len(self.classes) < 2:
            raise ConfigError(f"classes (={self.classes}) must hold at least two names")
        for option, value in {"num_classes": len(self.classes), "in_channels": self.image_shape[0]}.items():
            if self.options.get(option, value) != value:
                raise ConfigError(
                    f"options.{option} (={self.options[option]}) contradicts the card, which says {value}"
                )

    @classmethod
    def of(cls, splits: DataSplits, *, seed: int, model: str, options: dict[str, Any]) -> "ModelCard":
        """Make the card of a network for a dataset that was loaded with this seed."""
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

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        """Read the card in the metadata of a file of weights.

        Raises:
            ValueError: if the text is not a card, which has every field and no other.
        """
        try:
            content = json.loads(text)
            json.dumps(content, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ConfigError("its metadata are nested too deeply") from error
        except UnicodeEncodeError as error:  # an escaped half of a pair, such as "\\ud800"
            raise ConfigError("its metadata hold characters that are not valid Unicode") from error
        known = {entry.name for entry in fields(cls)}
        if not isinstance(content, dict) or set(content) != known:
            raise ConfigError(f"its metadata must hold {', '.join(sorted(known))}")
        return dataclass_from_mapping(cls, content)

    def build(self, *, copies: int = 1) -> nn.Module:
        """Build the network that the card describes, with initial weights.

        Args:
            copies: how many times the memory of the weights is needed: training also needs their gradients and the
                optimizer's state.

        Raises:
            ConfigError: if there is no such network or option, a value is refused, or the weights need more memory than
                the machine has.
        """
        options = {"num_classes": len(self.classes), "in_channels": self.image_shape[0], **self.options}
        try:
            with torch.device("meta"):
                sizes = [tensor.nbytes for tensor in build_model(self.model, **options).state_dict().values()]
            needed, there = copies * sum(sizes), memory_bytes()
            if torch.get_default_device().type != "meta" and there is not None and needed > there:
                raise ConfigError(
                    f"its weights need {needed / 1e9:,.0f} GB of memory and this machine has {there / 1e9:,.0f}: "
                    f"take smaller options than {self.options}"
                )
            return build_model(self.model, **options)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ConfigError(f"model.name={self.model} cannot be made: {error}") from error
