"""Whether an operation may run on its own backward, or must be left to PyTorch as its definition says it.

A hand-written backward suits ordinary tensors. `torch.compile` and `torch.export` see more in the definition than in an
opaque function; `torch.func` transforms, forward-mode derivatives and tensor subclasses need it.
"""

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad


def runs_eagerly(*tensors: Tensor | None) -> bool:
    """Whether nothing but ordinary reverse-mode differentiation can be asked of these tensors.

    Example:
        >>> runs_eagerly(torch.ones(2)), torch.func.vmap(lambda x: x + runs_eagerly(x))(torch.zeros(1)).item()
        (True, 0.0)
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    return all(t is None or _is_ordinary(t) for t in tensors)


def _is_ordinary(t: Tensor) -> bool:
    """Neither of a subclass, nor one of many gradients at once (``is_grads_batched``), nor with a tangent."""
    if type(t) not in (Tensor, nn.Parameter) or torch._C._functorch.is_legacy_batchedtensor(t):
        return False
    return forward_ad.unpack_dual(t).tangent is None


def is_recorded(*tensors: Tensor | None) -> bool:
    """Whether autograd keeps a record of what is done with these tensors.

    Example:
        >>> is_recorded(torch.ones(2)), is_recorded(None, torch.ones(2, requires_grad=True))
        (False, True)
    """
    if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
        return False
    return any(t is not None and t.requires_grad for t in tensors)
