"""Gradients by the definition: the fallback of the backward pass of every fast form."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from attentive_gconv.functional.fast import dispatch


def gradients_by_definition(
    definition: Callable[[], Tensor], tensors: Sequence[Tensor | None], needed: Sequence[bool], grad: Tensor
) -> list[Tensor | None]:
    """Gradients in PyTorch operations, which can be differentiated again, or batched over several output gradients.

    Args:
        definition: computes the output from the tensors.
        tensors: its inputs; None for an optional input that is absent.
        needed: for each, whether its gradient is needed.
        grad: gradient of the output.

    Returns:
        The gradients, None where they are not needed.

    Example:
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> gradients_by_definition(lambda: x**2, [x], [True], torch.ones(()))[0].item()
        6.0
    """
    # backward may be called inside an autocast region that forward was not in
    with dispatch.without_autocast(grad), torch.enable_grad():
        out = definition()
    wanted = [tensor for tensor, needs in zip(tensors, needed, strict=True) if needs and tensor is not None]
    found = iter(
        torch.autograd.grad(
            out, wanted, grad, create_graph=torch.is_grad_enabled(), retain_graph=True, materialize_grads=True
        )
    )
    return [
        next(found) if needs and tensor is not None else None for tensor, needs in zip(tensors, needed, strict=True)
    ]
