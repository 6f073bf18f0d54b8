"""Trained weights as safetensors files, with everything needed to use them in the file's metadata."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.files import write_atomically
from attentive_gconv.settings import ConfigError, dataclass_from_mapping

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save
except ImportError as error:
    raise ImportError("weights need safetensors: pip install 'attentive-gconv[train]'") from error

METADATA_KEY = "attentive_gconv"


class WeightsError(ValueError):
    """A file of weights that cannot be used; the message names it and the remedy."""


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
    with _opened(path) as file:
        card = _card_of(path, file)
        names = list(file.keys())
        _require_fit(path, card, {name: tuple(file.get_slice(name).get_shape()) for name in names})
        state = {name: file.get_tensor(name) for name in names}
    module = card.build()
    # a run in float64 keeps what it has
    module.to(next(tensor.dtype for tensor in state.values() if tensor.is_floating_point()))
    module.load_state_dict(state)
    return TrainedModel(module.eval(), card)


def read_card(path: str | Path) -> ModelCard:
    """The card of a file that `save_weights` wrote, without its weights.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if the file is broken, or not from this library.
    """
    with _opened(Path(path)) as file:
        return _card_of(Path(path), file)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of weights {path}")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error}); copy or train it again") from error


def _card_of(path: Path, file: Any) -> ModelCard:
    metadata = file.metadata() or {}
    if METADATA_KEY not in metadata:
        raise WeightsError(f"{path} was not written by `agconv train`: it does not say which network it holds")
    try:
        content = json.loads(metadata[METADATA_KEY])
        known = {entry.name for entry in fields(ModelCard)}
        if not isinstance(content, dict) or set(content) != known:
            raise ConfigError(f"its metadata must hold {', '.join(sorted(known))}")
        return dataclass_from_mapping(ModelCard, content)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        raise WeightsError(f"{path} describes no network of this version: {error}") from error


def _require_fit(path: Path, card: ModelCard, shapes: dict[str, tuple[int, ...]]) -> None:
    try:
        with torch.device("meta"):
            wanted = {name: tuple(tensor.shape) for name, tensor in card.build().state_dict().items()}
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
