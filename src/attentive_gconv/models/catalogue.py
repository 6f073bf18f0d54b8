"""Catalogue of the networks, the 26 of the paper and five of ours: class, image shape and options of each.

Source: Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830; the numbers of parameters are exact.
"""

from types import MappingProxyType
from typing import Any

from attentive_gconv.models.model_entries import ClassOfFamily, ModelEntry

# name, parameters, description, options
Variant = tuple[str, int, str, dict[str, Any]]
CATALOGUE: list[ModelEntry] = []


def _family(
    family: str, module: str, class_name: str, image_shape: tuple[int, int, int], num_classes: int, *variants: Variant
) -> None:
    build = ClassOfFamily(f"attentive_gconv.models.{module}", class_name)
    for name, parameters, description, defaults in variants:
        CATALOGUE.append(
            ModelEntry(
                name, build, MappingProxyType(defaults), image_shape, num_classes, family, parameters, description
            )
        )


_P4: dict[str, Any] = {"group": "p4"}
_C8: dict[str, Any] = {"group": "c8", "channels": 7, "kernel_size": 5, "pool": "blur"}
_family(
    *("rot-mnist", "p4cnn", "RotMNISTNet", (1, 28, 28), 10),
    ("z2cnn", 21_620, "planar CNN", {"group": "z2", "channels": 20, "normal_init": True}),
    ("p4cnn", 24_610, "p4-CNN", _P4),
    ("big11_p4cnn", 29_051, "p4-CNN with 11 channels", {**_P4, "channels": 11}),
    ("big15_p4cnn", 50_415, "p4-CNN with 15 channels", {**_P4, "channels": 15}),
    ("big19_p4cnn", 77_539, "p4-CNN with 19 channels", {**_P4, "channels": 19}),
    ("alpha_p4cnn", 73_130, "p4-CNN with full attention", {**_P4, "attention": "full"}),
    ("alpha_ch_p4cnn", 48_630, "p4-CNN with full channel attention", {**_P4, "attention": "full_channel"}),
    ("alpha_sp_p4cnn", 49_110, "p4-CNN with full spatial attention", {**_P4, "attention": "full_spatial"}),
    ("alpha_f_p4cnn", 29_462, "p4-CNN with input attention", {**_P4, "attention": "input", "first_dilation": 4}),
    ("alpha_rx_p4cnn", 24_851, "p4-CNN with the co-attention of 2020", {**_P4, "attention": "co_attention"}),
    ("c8cnn", 26_201, "C8-CNN", _C8),
    ("alpha_f_c8cnn", 29_983, "C8-CNN with input attention", {**_C8, "attention": "input", "first_dilation": 4}),
)

_P4 = {"group": "p4", "channels": 48}
_P4M: dict[str, Any] = {"group": "p4m", "channels": 32}
_family(
    *("allcnnc", "allcnnc", "AllCNNC", (3, 32, 32), 10),
    ("allcnnc", 1_370_996, "planar All-CNN-C", {"group": "z2", "channels": 96, "normal_init": True}),
    ("p4_allcnnc", 1_370_372, "p4-All-CNN-C", _P4),
    ("p4m_allcnnc", 1_219_252, "p4m-All-CNN-C", _P4M),
    ("alpha_f_p4_allcnnc", 1_400_120, "p4-All-CNN-C with input attention", {**_P4, "attention": "input"}),
    ("alpha_f_p4m_allcnnc", 1_249_192, "p4m-All-CNN-C with input attention", {**_P4M, "attention": "input"}),
    ("alpha_p4_allcnnc", 3_642_388, "p4-All-CNN-C with full attention", {**_P4, "attention": "full"}),
    (
        "alpha_ch_p4_allcnnc",
        3_407_972,
        "p4-All-CNN-C, full channel attention",
        {**_P4, "attention": "full_channel"},
    ),
    (
        "alpha_sp_p4_allcnnc",
        1_604_788,
        "p4-All-CNN-C, full spatial attention",
        {**_P4, "attention": "full_spatial"},
    ),
)

_P4M = {"group": "p4m"}
_family(
    *("resnet", "resnet", "ResNet", (3, 32, 32), 10),
    ("resnet44", 2_636_064, "planar ResNet-44", {"group": "z2", "channels": (32, 64, 128), "normal_init": True}),
    ("p4m_resnet44", 2_621_683, "p4m-ResNet-44", _P4M),
    ("alpha_f_p4m_resnet44", 2_693_911, "p4m-ResNet-44 with input attention", {**_P4M, "attention": "input"}),
)

_P4, _P4M = {"group": "p4", "channels": 13}, {"group": "p4m", "channels": 9}
_family(
    *("densenet", "densenet", "DenseNet", (3, 96, 96), 2),
    ("densenet", 130_598, "planar DenseNet", {"group": "z2", "channels": 26, "normal_init": True}),
    ("p4_densenet", 129_649, "p4-DenseNet", _P4),
    ("p4m_densenet", 124_209, "p4m-DenseNet", _P4M),
    ("alpha_f_p4_densenet", 140_453, "p4-DenseNet with input attention", {**_P4, "attention": "input"}),
    ("alpha_f_p4m_densenet", 141_221, "p4m-DenseNet with input attention", {**_P4M, "attention": "input"}),
)

_P4M = {"group": "p4m", "channels": (6, 12, 24, 24, 24)}
_family(
    *("vgg", "vgg", "VGG", (3, 64, 64), 2),
    ("vgg6", 110_347, "planar VGG, six layers deep", {"group": "z2", "channels": (17, 34, 68, 68, 68)}),
    ("p4m_vgg6", 109_590, "p4m-VGG, six layers deep", _P4M),
    ("alpha_f_p4m_vgg6", 116_506, "p4m-VGG with input attention", {**_P4M, "attention": "input"}),
)
