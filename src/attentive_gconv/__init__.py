"""Attentive group equivariant convolutional networks in PyTorch."""

__version__ = "0.1.0"
