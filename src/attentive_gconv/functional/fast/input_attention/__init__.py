"""Attention on a feature map as one operation."""

from attentive_gconv.functional.definition.attended_input import ChannelGate, Parts, SpatialGate, attend_definition
from attentive_gconv.functional.fast.input_attention.custom_function import attend, is_compiled

__all__ = ["ChannelGate", "Parts", "SpatialGate", "attend", "attend_definition", "is_compiled"]
