"""The streaming form as a custom operator of PyTorch (`torch.library`), opaque to `torch.compile`.

Compilers see two operators, forward and backward, and the shapes of their outputs. Only x and the weights are saved for
backward, as with ``recompute``: an operator cannot save other tensors without returning them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.fast.full_attention.problem import Problem, problem_of, weight_gradients
from attentive_gconv.functional.fast.full_attention.streaming import Plan
from attentive_gconv.functional.gating import Combination
from attentive_gconv.functional.geometry import output_size, three_pairs
from attentive_gconv.functional.operands import FullAttentionWeights


def stream_by_operator(x: Tensor, weights: FullAttentionWeights, *, memory_budget: int, backend: str) -> Tensor:
    """The streaming form under `torch.compile`; arguments as in `attentive_gconv.functional.attentive_conv2d`."""
    computed, wanted = dispatch.precision(x)
    tensors = (None if w is None else w.to(computed) for w in weights.tensors())
    sizes = [side for pair in weights.sides() for side in pair] + [weights.spatial_dilation]
    factors = [weights.scale, *weights.combination]
    with dispatch.without_autocast(x):
        out: Tensor = _forward(x.to(computed), *tensors, sizes, factors, memory_budget, backend)
        return out.unflatten(1, weights.kernel.shape[:2]).to(wanted)


def _posed(x: Tensor, *given: Any) -> tuple[Problem, FullAttentionWeights, Plan]:
    """Problem, weights and plan from an operator's arguments, which are plain numbers."""
    *tensors, sizes, (scale, skip, attended), budget, backend = given
    options = (*three_pairs(sizes), sizes[6], scale, Combination(skip, attended))
    weights = FullAttentionWeights(*tensors, *options)  # type: ignore[call-arg]
    weights.check("attentive_conv2d", x)
    problem = problem_of((x.shape[-2], x.shape[-1]), weights, x.dtype)
    return problem, weights, Plan(dispatch.get_backend(backend, x.device), budget, recompute=True)


@torch.library.custom_op("attentive_gconv::attentive_conv2d", mutates_args=())
def _forward(
    x: Tensor, kernel: Tensor, fc1: Tensor | None, fc2: Tensor | None, spatial_kernel: Tensor | None,
    sizes: Sequence[int], factors: Sequence[float], budget: int, backend: str,
) -> Tensor:  # fmt: skip
    problem, _, plan = _posed(x, kernel, fc1, fc2, spatial_kernel, sizes, factors, budget, backend)
    return plan.forward(problem, x, save=False)[0]


@torch.library.custom_op("attentive_gconv::attentive_conv2d_backward", mutates_args=())
def _backward(
    grad: Tensor, x: Tensor, kernel: Tensor, fc1: Tensor | None, fc2: Tensor | None, spatial_kernel: Tensor | None,
    sizes: Sequence[int], factors: Sequence[float], budget: int, backend: str,
) -> list[Tensor]:  # fmt: skip
    """The gradients of x, the kernel, and those of the other weights that are present."""
    problem, weights, plan = _posed(x, kernel, fc1, fc2, spatial_kernel, sizes, factors, budget, backend)
    # backward may be called inside an autocast region that forward was not in
    with dispatch.without_autocast(x):
        total = plan.backward(problem, x, [], grad)
        found = (total.x, *weight_gradients(problem, weights, total))
    return [gradient.contiguous() for gradient in found if gradient is not None]


@_forward.register_fake
def _(x: Tensor, kernel: Tensor, *given: Any) -> Tensor:
    out = output_size((x.shape[-2], x.shape[-1]), (kernel.shape[-2], kernel.shape[-1]), *three_pairs(given[3]))
    return x.new_empty((x.shape[0], kernel.shape[0] * kernel.shape[1], *out))


@_backward.register_fake
def _(grad: Tensor, x: Tensor, *given: Any) -> list[Tensor]:
    weights = (weight for weight in given[:4] if weight is not None)
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in (x, *weights)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.constants = inputs[5:]


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, *weights = ctx.saved_tensors
    found = iter(_backward(grad, x, *weights, *ctx.constants))
    gradients = [next(found) if tensor is not None else None for tensor in (x, *weights)]
    return (*gradients, None, None, None, None)


_forward.register_autograd(_differentiate, setup_context=_keep)
