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

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional.chunking import chunks, fitting
from attentive_gconv.functional.definition.attentive_convolution import attentive_conv2d_definition
from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.fast.by_definition import gradients_by_definition
from attentive_gconv.functional.fast.full_attention.problem import (
    Backend,
    Gradients,
    Problem,
    Saved,
    problem_of,
    sum_of_tiles,
    weight_gradients,
)
from attentive_gconv.functional.operands import FullAttentionWeights


def stream(x: Tensor, weights: FullAttentionWeights, *, recompute: bool, memory_budget: int, backend: str) -> Tensor:
    """The streaming form of `attentive_gconv.functional.attentive_conv2d`; the arguments are the same."""
    computed, wanted = dispatch.precision(x)
    with dispatch.without_autocast(x):
        x, tensors = x.to(computed), [None if w is None else w.to(computed) for w in weights.tensors()]
        plan = Plan(dispatch.get_backend(backend, x.device), memory_budget, recompute)
        problem = problem_of((x.shape[-2], x.shape[-1]), weights, computed)
        if torch.is_grad_enabled():
            out = AttentiveConvolution.apply(x, problem, plan, weights.options(), *tensors)
        else:
            out, _ = plan.forward(problem, x, save=False)
        return out.unflatten(1, weights.kernel.shape[:2]).to(wanted)


@dataclass(frozen=True)
class Plan:
    """How the operation is computed: backend, bytes of working memory, and whether backward recomputes."""

    backend: Backend
    budget: int
    recompute: bool

    def samples(self, problem: Problem, x: Tensor, save: bool) -> int:
        """How many samples are computed at once: as many as keep copies and gradients within the budget."""
        spread = problem.depth * problem.channels * problem.geometry.length * x.element_size()
        each = 3 * spread + (problem.outputs * problem.kept_bytes(x.element_size()) if save else 0)
        return fitting(len(x), each, self.budget)

    def outputs(self, problem: Problem, x: Tensor) -> int:
        """How many outputs are recomputed at once, when one sample alone would exceed the budget."""
        return fitting(problem.outputs, problem.kept_bytes(x.element_size()), self.budget)

    def forward(self, problem: Problem, x: Tensor, save: bool) -> tuple[Tensor, list[Saved]]:
        """The output and, with ``save``, what backward needs, as one `Saved` for each chunk of the batch."""
        step = self.samples(problem, x, save=False)
        # saved tensors stay in chunks: to concatenate them would hold them twice
        found = [self.backend.forward(problem, x[b], save, self.budget) for b in chunks(len(x), step)]
        out = found[0][0] if len(found) == 1 else torch.cat([out for out, _ in found])
        return out, [kept for _, kept in found if kept is not None]

    def backward(self, problem: Problem, x: Tensor, kept: list[Saved], grad: Tensor) -> Gradients:
        """All gradients, summed over forward's chunks of the batch and, when recomputing large maps, over outputs.

        Args:
            problem, x: as in `forward`.
            kept: the saved chunks of `forward`; not used when recomputing.
            grad: gradient of the output.
        """
        grad = grad.contiguous()
        step = self.samples(problem, x, save=self.recompute)
        width = self.outputs(problem, x) if self.recompute else problem.outputs

        def of_tile(chunk: Problem, b: slice, m: slice) -> Gradients:
            recomputed = self.backend.forward(chunk, x[b], True, self.budget)[1] if self.recompute else None
            saved = recomputed or kept[b.start // step]
            return self.backend.backward(chunk, x[b], saved, grad[b, m].contiguous(), self.budget)

        ranges = [(b, m) for b in chunks(len(x), step) for m in chunks(problem.outputs, width)]
        total = sum_of_tiles(problem, x, ranges, of_tile)
        if problem.skip:
            total.weight += _plain_weight_gradient(problem, x, grad)
        return total


class AttentiveConvolution(torch.autograd.Function):
    """``x (B, I, G, Y, X)``, a problem and the weights that it was packed from -> ``(B, M, Y', X')``."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, problem: Problem, plan: Plan, options: tuple[Any, ...], *tensors: Tensor | None
    ) -> Tensor:
        """Compute the output, and save what backward needs if an input requires a gradient."""
        differentiable = any(ctx.needs_input_grad)
        out, kept = plan.forward(problem, x, save=differentiable and not plan.recompute)
        if differentiable:
            ctx.plan, ctx.problem, ctx.options = plan, problem, options
            # the weights, too, so that autograd notices if they are changed in place before backward
            ctx.save_for_backward(x, *tensors, *(tensor for chunk in kept for tensor in chunk.tensors()))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """The exact gradients; by the definition where they are differentiated again, batched or transformed."""
        plan, problem = ctx.plan, ctx.problem
        x, kernel, fc1, fc2, psi, *maps = ctx.saved_tensors
        weights = FullAttentionWeights(kernel, fc1, fc2, psi, *ctx.options)
        # backward may be called inside the autocast region
        with dispatch.without_autocast(x):
            if torch.is_grad_enabled() or not dispatch.is_ordinary(grad):
                needed = (ctx.needs_input_grad[0], *ctx.needs_input_grad[4:])
                dx, *found = gradients_by_definition(
                    lambda x, *tensors: attentive_conv2d_definition(
                        x, FullAttentionWeights(*tensors, *ctx.options)
                    ).flatten(1, 2),
                    (x, *weights.tensors()),
                    needed,
                    grad,
                )
                return dx, None, None, None, *found
            each = len(Saved.names())
            kept = [Saved(*maps[first : first + each]) for first in range(0, len(maps), each)]
            total = plan.backward(problem, x, kept, grad)
        return total.x, None, None, None, *weight_gradients(problem, weights, total)


def _plain_weight_gradient(problem: Problem, x: Tensor, grad: Tensor) -> Tensor:
    """scale·skip·Σ_b grad ⋆ x: the weight gradient of the plain convolution, by PyTorch's own kernel."""
    geometry = problem.geometry
    shape = (problem.outputs, problem.channels * problem.depth, *geometry.kernel)
    _, gradient, _ = torch.ops.aten.convolution_backward(
        grad, x.flatten(1, 2), x.new_empty(shape), None, geometry.stride, geometry.padding, geometry.dilation,
        False, [0, 0], 1, [False, True, False],
    )  # fmt: skip
    ordered = gradient.view(problem.outputs, problem.channels, problem.depth, -1).permute(2, 0, 1, 3)
    return problem.scale * problem.skip * ordered
