"""The mathematics on tensors, without modules: kernel transforms, group convolution, attention."""

from attentive_gconv.functional.attention import (
    AMPLIFY,
    COMBINATIONS,
    MULTIPLY,
    SUPPRESS,
    Combination,
    channel_statistics,
    position_statistics,
)
from attentive_gconv.functional.attentive import (
    AttentionMaps,
    attention_maps_definition,
    attentive_conv2d,
    attentive_conv2d_definition,
    channel_attention_map,
    separate_responses,
    spatial_attention_map,
)
from attentive_gconv.functional.convolution import group_conv2d
from attentive_gconv.functional.general import attentive_conv2d_general, patches
from attentive_gconv.functional.kernels import kernel_index, transform_kernel

__all__ = [
    "AMPLIFY",
    "COMBINATIONS",
    "MULTIPLY",
    "SUPPRESS",
    "AttentionMaps",
    "Combination",
    "attention_maps_definition",
    "attentive_conv2d",
    "attentive_conv2d_definition",
    "attentive_conv2d_general",
    "channel_attention_map",
    "channel_statistics",
    "group_conv2d",
    "kernel_index",
    "patches",
    "position_statistics",
    "separate_responses",
    "spatial_attention_map",
    "transform_kernel",
]
