"""The networks of the paper, by name; importing a family registers its networks."""

from attentive_gconv.models.allcnnc import AllCNNC
from attentive_gconv.models.densenet import DenseNet
from attentive_gconv.models.image_classifier import FeatureMaps, ImageClassifier
from attentive_gconv.models.image_transform import ImageTransform, transform
from attentive_gconv.models.p4cnn import RotMNISTNet
from attentive_gconv.models.registry import ModelEntry, build_model, list_models, model_entry, register
from attentive_gconv.models.resnet import ResNet

__all__ = [
    "AllCNNC",
    "DenseNet",
    "FeatureMaps",
    "ImageClassifier",
    "ImageTransform",
    "ModelEntry",
    "ResNet",
    "RotMNISTNet",
    "build_model",
    "list_models",
    "model_entry",
    "register",
    "transform",
]
