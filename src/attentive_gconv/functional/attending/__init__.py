"""Attention on a feature map as one operation."""

from attentive_gconv.functional.attending.operation import attend, is_compiled
from attentive_gconv.functional.attending.parts import ChannelGate, Parts, SpatialGate, attend_definition

__all__ = ["ChannelGate", "Parts", "SpatialGate", "attend", "attend_definition", "is_compiled"]
