"""Weights from elsewhere: the authors' released checkpoints."""

from attentive_gconv.interop.reference import load_reference_checkpoint

__all__ = ["load_reference_checkpoint"]
