"""The networks of the paper, by name."""

from attentive_gconv.models import rot_mnist  # importing a family registers its models
from attentive_gconv.models.registry import ModelEntry, create_model, list_models, model_entry
from attentive_gconv.models.rot_mnist import RotMNISTNet

__all__ = ["ModelEntry", "RotMNISTNet", "create_model", "list_models", "model_entry", "rot_mnist"]
