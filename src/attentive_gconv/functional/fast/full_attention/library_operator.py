"""The streaming form as an operator of PyTorch, which `torch.compile` leaves whole.

Compilers see two operators, forward and backward, and know the shapes of what they return. Between the two only x and
the weights are kept, as with ``recompute``: what an operator keeps beside would have to be among its results.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional.fast.full_attention.backends import get_backend
from attentive_gconv.functional.fast.full_attention.layout import Geometry
from attentive_gconv.functional.fast.full_attention.plan import Plan
from attentive_gconv.functional.fast.full_attention.problem import Problem


def streamed(
    x: Tensor, learned: Sequence[Tensor | None], problem: Problem, map_dilation: int, budget: int, backend: str
) -> Tensor:
    """The operation of a problem whose weights are `learned`, by the operator: ``(B, M, Y', X')``."""
    geometry, spatial = problem.geometry, problem.spatial
    sizes = [*geometry.kernel, *geometry.stride, *geometry.padding, *geometry.dilation]
    sizes += [*spatial.kernel, map_dilation] if spatial is not None else []
    factors = [problem.scale, problem.skip, problem.attended]
    out: Tensor = _forward(x, *learned, sizes, factors, budget, backend)
    return out


def _geometry(x: Tensor, sizes: Sequence[int]) -> Geometry:
    kernel, stride, padding, dilation = ((sizes[i], sizes[i + 1]) for i in range(0, 8, 2))
    return Geometry((x.shape[-2], x.shape[-1]), kernel, stride, padding, dilation)


def _posed(x: Tensor, *given: Any) -> tuple[Problem, Plan]:
    """Problem and plan from an operator's arguments, which are plain numbers."""
    *weights, sizes, factors, budget, backend = given
    geometry, spatial = _geometry(x, sizes), None
    if len(sizes) > 8:
        *side, dilation = sizes[8:]
        padding = (side[0] // 2 * dilation, side[1] // 2 * dilation)
        spatial = Geometry(geometry.output, (side[0], side[1]), (1, 1), padding, (dilation, dilation))
    problem = Problem(geometry, *weights, spatial, *factors)  # type: ignore[call-arg]
    return problem, Plan(get_backend(backend, x.device), budget, recompute=True)


@torch.library.custom_op("attentive_gconv::attentive_conv2d", mutates_args=())
def _forward(
    x: Tensor, weight: Tensor, fc1: Tensor | None, fc2: Tensor | None, psi: Tensor | None,
    sizes: Sequence[int], factors: Sequence[float], budget: int, backend: str,
) -> Tensor:  # fmt: skip
    problem, plan = _posed(x, weight, fc1, fc2, psi, sizes, factors, budget, backend)
    return plan.forward(problem, x, save=False)[0]


@torch.library.custom_op("attentive_gconv::attentive_conv2d_backward", mutates_args=())
def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, fc1: Tensor | None, fc2: Tensor | None, psi: Tensor | None,
    sizes: Sequence[int], factors: Sequence[float], budget: int, backend: str,
) -> list[Tensor]:  # fmt: skip
    """The gradients of x, the weight, and the others as far as there are any."""
    problem, plan = _posed(x, weight, fc1, fc2, psi, sizes, factors, budget, backend)
    found = plan.backward(problem, x, [], grad)
    return [part for part in (found.x, found.weight, found.fc1, found.fc2, found.psi) if part is not None]


@_forward.register_fake
def _(x: Tensor, weight: Tensor, *given: Any) -> Tensor:
    rows, columns = _geometry(x, given[3]).output
    return x.new_empty((x.shape[0], weight.shape[1], rows, columns))


@_backward.register_fake
def _(grad: Tensor, x: Tensor, *given: Any) -> list[Tensor]:
    weights = (weight for weight in given[:4] if weight is not None)
    return [torch.empty_like(part, memory_format=torch.contiguous_format) for part in (x, *weights)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.constants = inputs[5:]


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, *weights = ctx.saved_tensors
    found = iter(_backward(grad, x, *weights, *ctx.constants))
    gradients = [next(found) if part is not None else None for part in (x, *weights)]
    return (*gradients, None, None, None, None)


_forward.register_autograd(_differentiate, setup_context=_keep)
