"""Checkpoints: shipped weights, trained weights with their model card, run folders, and the authors' files.

`create_model`, `list_pretrained`, `pretrained_card`, `transfer_weights` and `load_reference_checkpoint` need torch
alone. The rest needs the extra ``train`` and is imported at first use.
"""

from typing import TYPE_CHECKING

from attentive_gconv.checkpoints.pretrained import create_model, list_pretrained, pretrained_card
from attentive_gconv.checkpoints.reference import load_reference_checkpoint
from attentive_gconv.checkpoints.transfer import Transfer, transfer_weights
from attentive_gconv.lazy_names import lazy_names

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

__getattr__ = lazy_names(__name__, _LATER)
