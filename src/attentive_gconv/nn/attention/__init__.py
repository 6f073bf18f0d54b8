r"""Attention on a feature map: building blocks, and published modules composed of them.

For a map x on the group ((L_h W) sums over c *and* h'; q is the quadrature weight):

    α_C = σ( W2*relu(W1*mean x) + W2*relu(W1*max x) )     mean and max over positions; [B, C, |H|, 1, 1]
    α_X = σ( q·Σ_{s,h'} s ⋆ (L_h ψ_X) )                   s: mean and max of α_C·x over c;  [B, 1, |H|, Y, X]

    base       maps, their order, their combination: `AttentionMap`, `ParallelAttention`, `Attend`
    channel    α_C                 spatial    α_X                network    maps from networks (BAM, residual attention)
    input      the α_F-networks'   literature squeeze-and-excitation, CBAM, BAM, residual attention, co-attention

Statistics, gates and combination rules are functions of `attentive_gconv.functional.gating`, shared with the full
attention of the α-networks.
"""

from attentive_gconv.nn.attention.base import Attend, AttentionMap, ParallelAttention
from attentive_gconv.nn.attention.channel import ChannelAttention, GateWeights
from attentive_gconv.nn.attention.input import InputAttention, check_parts, default_ratio
from attentive_gconv.nn.attention.literature import BAM, CBAM, CoAttention, ResidualAttention, SqueezeExcite
from attentive_gconv.nn.attention.network import ContextAttention, SoftMask
from attentive_gconv.nn.attention.spatial import PlanarSpatialAttention, SpatialAttention

__all__ = [
    "BAM",
    "CBAM",
    "Attend",
    "AttentionMap",
    "ChannelAttention",
    "CoAttention",
    "ContextAttention",
    "GateWeights",
    "InputAttention",
    "ParallelAttention",
    "PlanarSpatialAttention",
    "ResidualAttention",
    "SoftMask",
    "SpatialAttention",
    "SqueezeExcite",
    "check_parts",
    "default_ratio",
]
