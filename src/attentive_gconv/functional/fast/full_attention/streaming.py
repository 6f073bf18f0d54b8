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
`attentive_gconv.functional.definition.attentive_convolution`. The streaming form is ours.
"""

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional.fast.full_attention import library_operator, torch_backend
from attentive_gconv.functional.fast.full_attention.backends import get_backend
from attentive_gconv.functional.fast.full_attention.layout import Geometry, same_padding
from attentive_gconv.functional.fast.full_attention.plan import Plan
from attentive_gconv.functional.fast.full_attention.problem import Problem, Saved
from attentive_gconv.functional.gating import Combination
from attentive_gconv.functional.geometry import Pair, pair


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
            total = plan.backward(problem, x, kept, grad)
        return total.x, None, None, total.weight, total.fc1, total.fc2, total.psi


def _differentiable_backward(problem: Problem, x: Tensor, grad: Tensor, needed: tuple[bool, ...]) -> tuple[Any, ...]:
    inputs = (x, None, None, problem.weight, problem.fc1, problem.fc2, problem.psi)
    wanted = [tensor for tensor, needs in zip(inputs, needed, strict=True) if needs and tensor is not None]
    out = torch_backend.differentiable(problem, x)
    found = iter(torch.autograd.grad(out, wanted, grad, create_graph=True, materialize_grads=True))
    return tuple(
        next(found) if needs and tensor is not None else None for tensor, needs in zip(inputs, needed, strict=True)
    )


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
        if torch.compiler.is_compiling():
            problem, learned, outputs = make()
            out = library_operator.streamed(x, learned, problem, spatial_dilation, memory_budget, backend)
            return out.unflatten(1, outputs).to(wanted)
        plan = Plan(get_backend(backend, x.device), memory_budget, recompute)
        made_with = (size, computed, sides, constants)
        problem, learned, outputs = make() if remember is None else remember(made_with, make)
        if torch.is_grad_enabled():
            out = AttentiveConvolution.apply(x, problem, plan, *learned)
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
