"""The streaming form of full attention: exact, without the 7-D tensor of separate responses."""

from attentive_gconv.functional.fast.full_attention.backends import BACKENDS, available_backends
from attentive_gconv.functional.fast.full_attention.streaming import Weights, stream

__all__ = ["BACKENDS", "Weights", "available_backends", "stream"]
