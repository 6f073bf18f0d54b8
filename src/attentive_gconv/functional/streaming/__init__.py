"""The streaming form of full attention: exact, without the 7-D tensor of separate responses."""

from attentive_gconv.functional.streaming.backends import BACKENDS, available_backends
from attentive_gconv.functional.streaming.operation import DEFAULT_BUDGET, Weights, stream

__all__ = ["BACKENDS", "DEFAULT_BUDGET", "Weights", "available_backends", "stream"]
