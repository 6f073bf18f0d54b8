"""The networks of the paper, by name. Classes are imported when they are asked for: lists of names are quick."""

from typing import TYPE_CHECKING

from attentive_gconv.lazy_names import lazy_names
from attentive_gconv.models.model_entries import ModelEntry
from attentive_gconv.models.registry import build_model, list_models, model_entry, register

if TYPE_CHECKING:
    from attentive_gconv.models.allcnnc import AllCNNC
    from attentive_gconv.models.densenet import DenseNet
    from attentive_gconv.models.image_classifier import FeatureMaps, ImageClassifier
    from attentive_gconv.models.image_transform import ImageTransform, transform
    from attentive_gconv.models.p4cnn import RotMNISTNet
    from attentive_gconv.models.resnet import ResNet
    from attentive_gconv.models.unet import UNet
    from attentive_gconv.models.vgg import VGG

__all__ = [
    "VGG",
    "AllCNNC",
    "DenseNet",
    "FeatureMaps",
    "ImageClassifier",
    "ImageTransform",
    "ModelEntry",
    "ResNet",
    "RotMNISTNet",
    "UNet",
    "build_model",
    "list_models",
    "model_entry",
    "register",
    "transform",
]

_DEFINED_IN = {
    "AllCNNC": "allcnnc",
    "DenseNet": "densenet",
    "FeatureMaps": "image_classifier",
    "ImageClassifier": "image_classifier",
    "ImageTransform": "image_transform",
    "ResNet": "resnet",
    "RotMNISTNet": "p4cnn",
    "UNet": "unet",
    "VGG": "vgg",
    "transform": "image_transform",
}

__getattr__ = lazy_names(__name__, _DEFINED_IN)
