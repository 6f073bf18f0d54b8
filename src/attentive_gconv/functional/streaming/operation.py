r"""The streaming form of full attention: exact, without f~.

After f~ everything is a convolution, a small gate, or a maximum, and the gradient of a maximum is sparse:

    mean f~ = Σ_t w_t·(mean of x over tap t's window),   max f~ = f~ at one position p*
    V = Σ_i α_C f~,  T = max_i α_C f~ at channel i*      V/I and T are the statistics of the spatial attention
    out = scale·Σ_g (skip·Σ_i f~ + attended·α_X·V)       skip 1, attended -1 for the paper's (1 - α_X α_C) f~

    dV = attended·d·α_X + dwconvᵀ(dz, ψ_mean)/I,  dT = dwconvᵀ(dz, ψ_max),  dz = attended·d·V·α_X(1 - α_X)
    du = dV + dT·[i = i*],  df~ = skip·d + α_C du,  dα_C = Σ_p du·f~ = Σ_t w_t·Σ_p du·x[p+t]

Kept for backward: x, the weights, V, T, α_X, i* per (sample, pose, output, position), and the statistics and p* per
(sample, pose, output, channel); with ``recompute`` x and the weights alone. All formulas are exact; sums are only
reordered.

Source of the operation: Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830; its definition is in
`attentive_gconv.functional.attentive`. The streaming form is ours.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional.attention import Combination
from attentive_gconv.functional.convolution import Pair
from attentive_gconv.functional.streaming import torch_backend
from attentive_gconv.functional.streaming.backends import Backend, get_backend
from attentive_gconv.functional.streaming.layout import Geometry, same_padding
from attentive_gconv.functional.streaming.problem import Gradients, Problem, Saved

DEFAULT_BUDGET = 64 << 20


@dataclass(frozen=True)
class Plan:
    """How the operation is to be computed: by what, in how much working memory, and what it keeps."""

    backend: Backend
    budget: int
    recompute: bool

    def samples(self, problem: Problem, x: Tensor, save: bool) -> int:
        """How many samples are worked on at once: as many as keep copies and gradients under the budget."""
        spread = problem.depth * problem.channels * x.element_size()
        spread *= problem.geometry.phase[0] * problem.geometry.phase[1] * problem.geometry.stride[0]
        spread *= problem.geometry.stride[1]
        each = 3 * spread + (problem.outputs * problem.kept_bytes(x.element_size()) if save else 0)
        return max(1, min(x.shape[0], self.budget // each))

    def outputs(self, problem: Problem, x: Tensor) -> int:
        """How many outputs are recomputed at once, when one sample alone would exceed the budget."""
        return max(1, min(problem.outputs, self.budget // problem.kept_bytes(x.element_size())))

    def forward(self, problem: Problem, x: Tensor, save: bool) -> tuple[Tensor, list[Saved]]:
        """The output; if wanted what backward needs, part by part of the batch: to join it would hold it twice."""
        step = self.samples(problem, x, save=False)
        parts = [self.backend.forward(problem, x[b : b + step], save, self.budget) for b in range(0, len(x), step)]
        out = parts[0][0] if len(parts) == 1 else torch.cat([out for out, _ in parts])
        return out, [kept for _, kept in parts if kept is not None]


class AttentiveConvolution(torch.autograd.Function):
    """``x (B, I, G, Y, X)`` and the tensors of a `Problem` -> ``(B, M, Y', X')``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, problem: Problem, plan: Plan, *weights: Tensor | None) -> Tensor:
        """Compute, and keep what backward needs if there will be a backward."""
        differentiable = any(ctx.needs_input_grad)
        out, parts = plan.forward(problem, x, save=differentiable and not plan.recompute)
        if differentiable:
            ctx.plan, ctx.problem = plan, problem
            ctx.save_for_backward(x, *weights, *(tensor for part in parts for tensor in part.tensors()))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """The exact gradients; with ``create_graph`` they can be differentiated again, by way of the definition."""
        plan: Plan = ctx.plan
        # the weights are in there so that a change in place since forward is noticed
        x, weight, fc1, fc2, psi, *maps = ctx.saved_tensors
        problem: Problem = ctx.problem
        # backward may be called inside the autocast region
        with torch.autocast(x.device.type, enabled=False):
            if torch.is_grad_enabled():
                of = replace(problem, weight=weight, fc1=fc1, fc2=fc2, psi=psi)
                return _differentiable_backward(of, x, grad, ctx.needs_input_grad)
            each = len(Saved.names())
            kept = [Saved(*maps[first : first + each]) for first in range(0, len(maps), each)]
            total = _backward(plan, problem, x, kept, grad.contiguous())
            if problem.skip:
                total.weight += _plain_weight_gradient(problem, x, grad)
        return total.x, None, None, total.weight, total.fc1, total.fc2, total.psi


def _differentiable_backward(problem: Problem, x: Tensor, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Any, ...]:
    inputs = (x, None, None, problem.weight, problem.fc1, problem.fc2, problem.psi)
    wanted = [tensor for tensor, needs in zip(inputs, needed, strict=True) if needs and tensor is not None]
    out = torch_backend.differentiable(problem, x)
    found = iter(torch.autograd.grad(out, wanted, grad, create_graph=True, materialize_grads=True))
    return tuple(
        next(found) if needs and tensor is not None else None for tensor, needs in zip(inputs, needed, strict=True)
    )


def _backward(plan: Plan, problem: Problem, x: Tensor, kept: list[Saved], grad: Tensor) -> Gradients:
    """Sum the gradients over forward's parts of the batch and, when recomputing large maps, over outputs."""
    step = plan.samples(problem, x, save=plan.recompute)
    width = plan.outputs(problem, x) if plan.recompute else problem.outputs
    total = Gradients.zeros(problem, x)
    for number, b in enumerate(range(0, len(x), step)):
        samples = slice(b, b + step)
        for m in range(0, problem.outputs, width):
            part = problem.part(m, min(m + width, problem.outputs))
            here = plan.backend.forward(part, x[samples], True, plan.budget)[1] if plan.recompute else kept[number]
            assert here is not None
            found = plan.backend.backward(
                part, x[samples], here, grad[samples, m : m + width].contiguous(), plan.budget
            )
            total.x[samples] += found.x
            for name in ("weight", "fc1", "fc2", "psi"):
                if (sum_of := getattr(total, name)) is not None:
                    sum_of[:, m : m + width] += getattr(found, name)
    return total


def _plain_weight_gradient(problem: Problem, x: Tensor, grad: Tensor) -> Tensor:
    """scale·skip·Σ_b grad ⋆ x: the weight gradient of the plain convolution, by the library's own kernel."""
    geometry = problem.geometry
    shape = (problem.outputs, problem.channels * problem.depth, *geometry.kernel)
    _, gradient, _ = torch.ops.aten.convolution_backward(
        grad, x.flatten(1, 2), x.new_empty(shape), None, geometry.stride, geometry.padding, geometry.dilation,
        False, [0, 0], 1, [False, True, False],
    )  # fmt: skip
    ordered = gradient.view(problem.outputs, problem.channels, problem.depth, -1).permute(2, 0, 1, 3)
    return problem.scale * problem.skip * ordered


Weights = tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]
Posed = tuple[Problem, tuple[Tensor | None, ...], Pair]  # with the learned tensors, and (O, |H|)
Remember = Callable[[Hashable, Callable[[], Posed]], Posed]


def stream(
    x: Tensor,
    weights: Callable[[], Weights],
    *,
    stride: int | Pair,
    padding: int | Pair,
    dilation: int | Pair,
    spatial_dilation: int,
    scale: float,
    combination: Combination,
    recompute: bool,
    memory_budget: int,
    backend: str,
    remember: Remember | None = None,
) -> Tensor:
    """The streaming form of `attentive_gconv.functional.attentive_conv2d`, whose arguments these are.

    Args:
        weights: gives kernel, fc1, fc2 and spatial_kernel.
        remember: called as ``remember(made_with, make)``: what ``make()`` returns; in inference what it returned
            before, if neither the weights nor `made_with` have changed.
    """
    if memory_budget < 1:
        raise ValueError(f"`memory_budget` (={memory_budget}) must be a positive number of bytes")
    plan = Plan(get_backend(backend, x.device), memory_budget, recompute)
    device = x.device.type
    autocast = torch.is_autocast_enabled(device)
    wanted = torch.get_autocast_dtype(device) if autocast and x.dtype != torch.float64 else x.dtype
    computed = torch.float32 if wanted.itemsize < 4 else wanted
    size, sides = (x.shape[-2], x.shape[-1]), tuple(pair(value) for value in (stride, padding, dilation))
    constants = (spatial_dilation, scale, combination)

    def make() -> Posed:
        kernel, fc1, fc2, psi = weights()
        gates = (None if weight is None else weight.to(computed) for weight in (fc1, fc2, psi))
        geometry = Geometry(size, (kernel.shape[-2], kernel.shape[-1]), *sides)
        return _pose(geometry, kernel.to(computed), *gates, *constants)  # type: ignore[call-arg, arg-type]

    with torch.autocast(device, enabled=False):
        x = x.to(computed)
        problem, learned, outputs = make() if remember is None else remember((size, computed, sides, constants), make)
        if torch.is_grad_enabled():
            out: Tensor = AttentiveConvolution.apply(x, problem, plan, *learned)
        else:
            out, _ = plan.forward(problem, x, save=False)
        return out.unflatten(1, outputs).to(wanted)


def _pose(
    geometry: Geometry,
    kernel: Tensor,
    fc1: Tensor | None,
    fc2: Tensor | None,
    spatial_kernel: Tensor | None,
    spatial_dilation: int,
    scale: float,
    combination: Combination,
) -> Posed:
    """The weights in the order that a `Problem` wants: in one, without a graph, and by themselves, differentiably."""
    if (fc1 is None) != (fc2 is None) or (fc1 is None and spatial_kernel is None):
        raise ValueError("full attention needs a channel gate (fc1 and fc2), a spatial_kernel, or both; got neither")
    out_channels, order, channels, depth = kernel.shape[:4]
    weight = kernel.permute(3, 0, 1, 2, 4, 5).reshape(depth, out_channels * order, channels, -1)
    fc1, fc2 = (None if w is None else w.permute(4, 0, 1, 2, 3).flatten(1, 2).contiguous() for w in (fc1, fc2))
    psi = spatial = None
    if spatial_kernel is not None:
        side = spatial_kernel.shape[-1]
        spatial, (drop_y, drop_x) = same_padding(geometry.output, side, spatial_dilation)
        seen = spatial_kernel[..., drop_y : side - drop_y, drop_x : side - drop_x]
        # V is a sum over channels; the statistic is their mean
        seen = seen * seen.new_tensor([1 / channels, 1.0]).view(2, 1, 1, 1)
        psi = seen.permute(3, 0, 1, 2, 4, 5).reshape(depth, out_channels * order, 2, -1)
    learned = (weight, fc1, fc2, psi)
    constants = (None if w is None else w.detach() for w in learned)
    problem = Problem(geometry, *constants, spatial, scale, *combination)  # type: ignore[call-arg, arg-type]
    return problem, learned, (out_channels, order)


def pair(value: int | Pair) -> Pair:
    """(Y, X) from one integer or two."""
    return (value, value) if isinstance(value, int) else value
