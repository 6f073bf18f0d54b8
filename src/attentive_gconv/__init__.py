"""Attentive group equivariant convolutional networks in PyTorch.

Maps are plain tensors: planar ``(B, C, Y, X)``, on the group ``(B, C, |H|, Y, X)``. Layers are ordinary modules.

    >>> import torch, attentive_gconv as ag
    >>> model = ag.create_model("alpha_f_p4cnn").double()
    >>> ag.testing.assert_equivariant(model, "p4", torch.randn(2, 1, 28, 28, dtype=torch.float64))

Source: Romero, Bekkers, Tomczak, Hoogendoorn, ICML 2020, https://arxiv.org/abs/2002.03830.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attentive_gconv import export, functional, models, nn, testing
    from attentive_gconv.checkpoints import create_model, list_pretrained, load_reference_checkpoint
    from attentive_gconv.groups import FiniteGroup, group, list_groups
    from attentive_gconv.models import list_models
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
    "export",
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

# Imported at first use (PEP 562): the command line, which is part of the package, prints its help without PyTorch.
_DEFINED_IN = {
    "FiniteGroup": "groups",
    "attention_maps": "visualize",
    "check_equivariance": "testing",
    "create_model": "checkpoints",
    "explain": "visualize",
    "group": "groups",
    "list_groups": "groups",
    "list_models": "models",
    "list_pretrained": "checkpoints",
    "load_reference_checkpoint": "checkpoints",
}


def __getattr__(name: str) -> Any:
    if name in _DEFINED_IN:
        value = getattr(importlib.import_module(f"{__name__}.{_DEFINED_IN[name]}"), name)
        globals()[name] = value
        return value
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
