"""Checkpoints: shipped weights, trained weights with their model card, run folders, and the authors' files.

`create_model`, `list_pretrained`, `pretrained_card`, `transfer_weights` and `load_reference_checkpoint` need torch
alone. The rest needs ``pip install 'attentive-gconv[train]'`` and is imported when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from attentive_gconv.checkpoints.pretrained import create_model, list_pretrained, pretrained_card
from attentive_gconv.checkpoints.reference import load_reference_checkpoint
from attentive_gconv.checkpoints.transfer import Transfer, transfer_weights

if TYPE_CHECKING:
    from attentive_gconv.checkpoints.model_card import ModelCard
    from attentive_gconv.checkpoints.opening import OpenedModel, open_model
    from attentive_gconv.checkpoints.weights import TrainedModel, WeightsError, load_weights, save_weights

__all__ = [
    "ModelCard",
    "OpenedModel",
    "TrainedModel",
    "Transfer",
    "WeightsError",
    "create_model",
    "list_pretrained",
    "load_reference_checkpoint",
    "load_weights",
    "open_model",
    "pretrained_card",
    "save_weights",
    "transfer_weights",
]

_LATER = {
    "ModelCard": "model_card",
    "OpenedModel": "opening",
    "open_model": "opening",
    "TrainedModel": "weights",
    "WeightsError": "weights",
    "load_weights": "weights",
    "save_weights": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
