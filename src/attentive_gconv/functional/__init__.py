"""The mathematics on tensors, without modules: kernel transforms, group convolution, attention."""

from attentive_gconv.functional.definition.attentive_convolution import (
    AttentionMaps,
    attention_maps_definition,
    attentive_conv2d_definition,
    channel_attention_map,
    separate_responses,
    spatial_attention_map,
)
from attentive_gconv.functional.definition.general_attention import attentive_conv2d_general, patches
from attentive_gconv.functional.filters import kernel_index, transform_kernel
from attentive_gconv.functional.gating import (
    AMPLIFY,
    COMBINATIONS,
    MULTIPLY,
    SUPPRESS,
    Combination,
    channel_statistics,
    position_statistics,
)
from attentive_gconv.functional.operations import attentive_conv2d, group_conv2d

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
