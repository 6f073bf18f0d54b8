"""Entries of the registry of networks. Nothing here needs PyTorch, so that lists of networks are quick."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ModelEntry:
    """A network in the registry.

    Attributes:
        name: what `create_model` takes.
        build: class or function that makes the network.
        defaults: arguments of ``build`` that make this variant.
        image_shape: (C, Y, X) of its images.
        num_classes: number of logits with the defaults.
        family: what its variants have in common, for lists.
        parameters: exact number of learned parameters with the defaults; None if it is not known.
        description: one line for lists.
    """

    name: str
    build: "Callable[..., nn.Module]"
    defaults: Mapping[str, Any]
    image_shape: tuple[int, int, int]
    num_classes: int
    family: str
    parameters: int | None
    description: str

    def makes(self, model: "nn.Module") -> bool:
        """Whether the model is exactly of the class that makes this network."""
        made = self.build.load() if isinstance(self.build, ClassOfFamily) else self.build
        return made is type(model)


@dataclass(frozen=True)
class ClassOfFamily:
    """The class of a family of networks, imported when the first network is created."""

    module: str
    name: str

    def load(self) -> "type[nn.Module]":
        """The class itself."""
        found: type[nn.Module] = getattr(importlib.import_module(self.module), self.name)
        return found

    def __call__(self, **options: Any) -> "nn.Module":
        """Make a network."""
        return self.load()(**options)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.load())
