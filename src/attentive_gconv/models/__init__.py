"""The networks of the paper, by name; importing a family registers its networks."""

from attentive_gconv.models.allcnnc import AllCNNC
from attentive_gconv.models.densenet import DenseNet
from attentive_gconv.models.p4cnn import RotMNISTNet
from attentive_gconv.models.pretrained import list_pretrained, pretrained_card
from attentive_gconv.models.registry import ModelEntry, create_model, list_models, model_entry, register
from attentive_gconv.models.resnet import ResNet

__all__ = [
    "AllCNNC",
    "DenseNet",
    "ModelEntry",
    "ResNet",
    "RotMNISTNet",
    "create_model",
    "list_models",
    "list_pretrained",
    "model_entry",
    "pretrained_card",
    "register",
]
