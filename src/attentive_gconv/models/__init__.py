"""The networks of the paper, by name."""

from attentive_gconv.models import allcnnc, densenet, resnet, rot_mnist  # importing a family registers its models
from attentive_gconv.models.allcnnc import AllCNNC
from attentive_gconv.models.densenet import DenseNet
from attentive_gconv.models.pretrained import list_pretrained, pretrained_card
from attentive_gconv.models.registry import ModelEntry, create_model, list_models, model_entry
from attentive_gconv.models.resnet import ResNet
from attentive_gconv.models.rot_mnist import RotMNISTNet

__all__ = [
    "AllCNNC",
    "DenseNet",
    "ModelEntry",
    "ResNet",
    "RotMNISTNet",
    "allcnnc",
    "create_model",
    "densenet",
    "list_models",
    "list_pretrained",
    "model_entry",
    "pretrained_card",
    "resnet",
    "rot_mnist",
]
