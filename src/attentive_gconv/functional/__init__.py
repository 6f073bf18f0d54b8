"""The mathematics on tensors, without modules: kernel transforms, group convolution, attention."""

from attentive_gconv.functional.definition.attended_input import input_attention_definition
from attentive_gconv.functional.definition.attentive_convolution import (
    SuppressionMaps,
    attentive_conv2d_definition,
    channel_suppression_map,
    separate_responses,
    spatial_suppression_map,
    suppression_map_tiles,
    suppression_maps_definition,
)
from attentive_gconv.functional.definition.general_attention import attentive_conv2d_general, patches
from attentive_gconv.functional.definition.group_convolution import group_conv2d_definition
from attentive_gconv.functional.filters import (
    KernelTransform,
    kernel_index,
    kernel_transform,
    sample_kernel,
    transform_kernel,
)
from attentive_gconv.functional.gating import (
    AMPLIFY,
    COMBINATIONS,
    MULTIPLY,
    SUPPRESS,
    Combination,
    channel_statistics,
    position_statistics,
)
from attentive_gconv.functional.irreps import Irrep, fourier_matrix, fourier_rows, orbit_index, real_irreps
from attentive_gconv.functional.operands import ChannelGate, FullAttentionWeights, InputAttentionWeights, SpatialGate
from attentive_gconv.functional.operations import attentive_conv2d, group_conv2d, input_attention
from attentive_gconv.functional.ring_filters import filter_basis

__all__ = [
    "AMPLIFY",
    "COMBINATIONS",
    "MULTIPLY",
    "SUPPRESS",
    "ChannelGate",
    "Combination",
    "FullAttentionWeights",
    "InputAttentionWeights",
    "Irrep",
    "KernelTransform",
    "SpatialGate",
    "SuppressionMaps",
    "attentive_conv2d",
    "attentive_conv2d_definition",
    "attentive_conv2d_general",
    "channel_statistics",
    "channel_suppression_map",
    "filter_basis",
    "fourier_matrix",
    "fourier_rows",
    "group_conv2d",
    "group_conv2d_definition",
    "input_attention",
    "input_attention_definition",
    "kernel_index",
    "kernel_transform",
    "orbit_index",
    "patches",
    "position_statistics",
    "real_irreps",
    "sample_kernel",
    "separate_responses",
    "spatial_suppression_map",
    "suppression_map_tiles",
    "suppression_maps_definition",
    "transform_kernel",
]
