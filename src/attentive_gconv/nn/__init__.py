"""Modules: convolutions, attention, normalisation, pooling. Maps are plain tensors ``(B, C, |H|, Y, X)``."""

from attentive_gconv.nn.attention import (
    BAM,
    CBAM,
    Attend,
    AttentionMap,
    ChannelAttention,
    CoAttention,
    ContextAttention,
    InputAttention,
    ParallelAttention,
    PlanarSpatialAttention,
    ResidualAttention,
    SoftMask,
    SpatialAttention,
    SqueezeExcite,
)
from attentive_gconv.nn.attentive_conv import AttentiveGroupConv2d, AttentiveLiftingConv2d, configure_attention
from attentive_gconv.nn.conv import GroupConv2d, LiftingConv2d, configure_convolution
from attentive_gconv.nn.dropout import Dropout, GroupDropout2d
from attentive_gconv.nn.input_attentive_conv import InputAttentiveGroupConv2d, InputAttentiveLiftingConv2d
from attentive_gconv.nn.norm import GroupBatchNorm2d, GroupInstanceNorm2d, GroupNorm2d
from attentive_gconv.nn.pooling import (
    GroupMaxPool,
    GroupMeanPool,
    SpatialAdaptiveAvgPool2d,
    SpatialAdaptiveMaxPool2d,
    SpatialAvgPool2d,
    SpatialBlurPool2d,
    SpatialMaxPool2d,
)
from attentive_gconv.nn.restriction import GroupRestriction
from attentive_gconv.nn.transposed_conv import GroupConvTranspose2d
from attentive_gconv.nn.transposition import transpose_kernels_
from attentive_gconv.nn.upsampling import SpatialUpsample2d

__all__ = [
    "BAM",
    "CBAM",
    "Attend",
    "AttentionMap",
    "AttentiveGroupConv2d",
    "AttentiveLiftingConv2d",
    "ChannelAttention",
    "CoAttention",
    "ContextAttention",
    "Dropout",
    "GroupBatchNorm2d",
    "GroupConv2d",
    "GroupConvTranspose2d",
    "GroupDropout2d",
    "GroupInstanceNorm2d",
    "GroupMaxPool",
    "GroupMeanPool",
    "GroupNorm2d",
    "GroupRestriction",
    "InputAttention",
    "InputAttentiveGroupConv2d",
    "InputAttentiveLiftingConv2d",
    "LiftingConv2d",
    "ParallelAttention",
    "PlanarSpatialAttention",
    "ResidualAttention",
    "SoftMask",
    "SpatialAdaptiveAvgPool2d",
    "SpatialAdaptiveMaxPool2d",
    "SpatialAttention",
    "SpatialAvgPool2d",
    "SpatialBlurPool2d",
    "SpatialMaxPool2d",
    "SpatialUpsample2d",
    "SqueezeExcite",
    "configure_attention",
    "configure_convolution",
    "transpose_kernels_",
]
