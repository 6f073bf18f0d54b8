"""Gradients by the definition: the fallback of the backward pass of every fast form."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from attentive_gconv.functional.fast import dispatch


def gradients_by_definition(
    definition: Callable[..., Tensor], tensors: Sequence[Tensor | None], needed: Sequence[bool], grad: Tensor
) -> list[Tensor | None]:
    """Gradients in PyTorch operations, which can be differentiated again, or batched over several output gradients.

    Args:
        definition: computes the output, called with the tensors. They are views, so that gradients end at the
            inputs even where one was computed from another, and hooks of the inputs run only once.
        tensors: its inputs; None for an optional input that is absent.
        needed: for each, whether its gradient is needed.
        grad: gradient of the output.

    Returns:
        The gradients, None where they are not needed.

    Example:
        >>> x = torch.tensor(3.0, requires_grad=True)
        >>> gradients_by_definition(lambda x: x**2, [x], [True], torch.ones(()))[0].item()
        6.0
    """
    differentiated = torch.is_grad_enabled()
    wanted = [needs and tensor is not None for tensor, needs in zip(tensors, needed, strict=True)]
    if not any(wanted):
        return [None] * len(wanted)
    # backward may be called inside an autocast region that forward was not in
    with dispatch.without_autocast(grad):
        with torch.enable_grad():
            views = [
                tensor.view_as(tensor) if is_wanted and tensor is not None else tensor
                for tensor, is_wanted in zip(tensors, wanted, strict=True)
            ]
            out = definition(*views)
        inputs = [view for view, is_wanted in zip(views, wanted, strict=True) if is_wanted and view is not None]
        found = iter(torch.autograd.grad(out, inputs, grad, create_graph=differentiated, materialize_grads=True))
    return [next(found) if is_wanted else None for is_wanted in wanted]
