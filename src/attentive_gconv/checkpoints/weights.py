"""Weights as safetensors files: the network's state, its model card, and a digest of both.

The file's metadata holds the card as JSON (``attentive_gconv``) and a SHA-256 of the card and of every tensor's name,
dtype, shape and bytes (``sha256``). Files without a digest, from earlier versions, are read without that check.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.checkpoints.state_dicts import FLOATS, differences, unusable
from attentive_gconv.files import write_atomically
from attentive_gconv.settings import ConfigError

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save
except ImportError as error:
    raise ImportError("weights need safetensors: pip install 'attentive-gconv[train]'") from error

METADATA_KEY = "attentive_gconv"
DIGEST_KEY = "sha256"


class WeightsError(ValueError):
    """A file of weights cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class TrainedModel:
    """A network in eval mode, and its model card."""

    module: nn.Module
    card: ModelCard


def save_weights(path: Path, module: nn.Module, card: ModelCard) -> None:
    """Write a network's state and its model card to a safetensors file, with an atomic write."""
    write_state(path, module.state_dict(), card)


def write_state(path: Path, state: Mapping[str, Tensor], card: ModelCard) -> None:
    """Write a state dict and its model card, as `save_weights` does."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    text = json.dumps(asdict(card))
    write_atomically(path, save(tensors, metadata={METADATA_KEY: text, DIGEST_KEY: weights_digest(text, tensors)}))


def load_weights(path: str | Path) -> TrainedModel:
    """Load the network of a ``.safetensors`` file that `save_weights` wrote.

    Shapes are compared before weights are allocated; no code in the file runs.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if the file is damaged or not from this library, holds values that are not finite, or does not
            fit the network that it names.
    """
    path = Path(path)
    with _opened(path) as file:
        card = _card_of(path, file)
        state = _checked_state(path, file, card)
    module = card.build()
    # weights of a float64 run stay in float64
    module.to(next(tensor.dtype for tensor in state.values() if tensor.is_floating_point()))
    module.load_state_dict(state)
    return TrainedModel(module.eval(), card)


def read_card(path: str | Path) -> ModelCard:
    """Read the model card of a file that `save_weights` wrote.

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
    if path.suffix == ".ckpt":
        beside = path.with_suffix(".safetensors")
        remedy = f"take {beside}" if beside.is_file() else "take the .safetensors file of the same run"
        raise WeightsError(f"{path} is the state of a training, from which a run is resumed: {remedy}")
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
        return ModelCard.from_json(metadata[METADATA_KEY])
    except ValueError as error:
        raise WeightsError(f"{path} describes no network of this version: {error}") from error


def _checked_state(path: Path, file: Any, card: ModelCard) -> dict[str, Tensor]:
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    try:
        with torch.device("meta"):
            wanted = card.build().state_dict()
    except ConfigError as error:
        raise WeightsError(f"{path} names a network that cannot be built: {error}") from error
    if problems := differences(shapes, wanted):
        raise WeightsError(
            f"{path} does not fit {card.model}: {'; '.join(problems)}; it was written by another version, or damaged"
        )
    state = {name: file.get_tensor(name) for name in shapes}
    metadata = file.metadata()
    if DIGEST_KEY in metadata and metadata[DIGEST_KEY] != weights_digest(metadata[METADATA_KEY], state):
        raise WeightsError(f"{path} is damaged: its content has another sha256 than it says; copy or train it again")
    problems = unusable(state)
    kinds = {tensor.dtype for tensor in state.values() if tensor.dtype in FLOATS}
    if len(kinds) > 1:
        problems.append(f"its weights are of several dtypes, {', '.join(sorted(map(str, kinds)))}")
    if problems:
        raise WeightsError(f"{path} cannot be used: {'; '.join(problems[:3])}; train it again")
    return state


def weights_digest(card: str, state: Mapping[str, Tensor]) -> str:
    """SHA-256 of a model card and of every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(card.encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
