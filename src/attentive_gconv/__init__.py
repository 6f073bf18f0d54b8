"""Attentive group equivariant convolutional networks in PyTorch.

Maps are plain tensors: planar ``(B, C, Y, X)``, on the group ``(B, C, |H|, Y, X)``. Layers are ordinary modules.

    >>> import torch, attentive_gconv as ag
    >>> model = ag.create_model("alpha_f_p4cnn").double()
    >>> ag.testing.assert_equivariant(model, "p4", torch.randn(2, 1, 28, 28, dtype=torch.float64))

Source: Romero, Bekkers, Tomczak, Hoogendoorn, ICML 2020, https://arxiv.org/abs/2002.03830.
"""

from attentive_gconv import functional, models, nn, testing
from attentive_gconv.groups import FiniteGroup, group, list_groups
from attentive_gconv.interop import load_reference_checkpoint
from attentive_gconv.models import create_model, list_models, list_pretrained
from attentive_gconv.testing import check_equivariance
from attentive_gconv.visualize import attention_maps, explain

__version__ = "0.1.0"

__all__ = [
    "FiniteGroup",
    "__version__",
    "attention_maps",
    "check_equivariance",
    "create_model",
    "explain",
    "functional",
    "group",
    "list_groups",
    "list_models",
    "list_pretrained",
    "load_reference_checkpoint",
    "models",
    "nn",
    "testing",
]
