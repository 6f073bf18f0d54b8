r"""Input attention as one custom autograd function; its definition is in `...definition.attended_input`.

    dα_X = attended·Σ_c α_C·x·g                  (then through ψ to dt)
    q = attended·α_X·g + dt_mean/C + dt_max·[c = c*]
    dx = skip·g + α_C·q,   dα_C = Σ_p x·q        (then through the gate to ds)
    dx += ds_mean/P + ds_max·[p = p*]

c*, p*: the first maximum. Samples meet only in the sums of the weights' gradients, so each one is done from
statistics to attended map, and back, while it is in cache. α_C·x is formed where it is needed and never kept; kept are
x, the statistics, the two maps, c* and p*.

Source of the operation: Romero et al., ICML 2020, §5.1, https://arxiv.org/abs/2002.03830. Doing it sample by sample is
ours.
"""

import importlib
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from attentive_gconv.functional.definition.attended_input import input_attention_definition
from attentive_gconv.functional.fast.by_definition import gradients_by_definition
from attentive_gconv.functional.fast.dispatch import is_ordinary, is_recorded
from attentive_gconv.functional.operands import InputAttentionWeights


def input_attention_fast(x: Tensor, weights: InputAttentionWeights) -> Tensor:
    """`attentive_gconv.functional.input_attention` with compiled CPU kernels; the arguments are the same."""
    tensors = (x, *weights.tensors())
    if not is_recorded(*tensors):
        out: Tensor = _samples().forward(x, weights)[0]
    else:
        out = _InputAttention.apply(*tensors, weights)
    return out


def _samples() -> Any:
    return importlib.import_module("attentive_gconv.functional.fast.input_attention.samples")


class _InputAttention(Function):
    """The compiled kernels; gradients of gradients and batched gradients are computed by the definition."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        fc1: Tensor | None,
        fc2: Tensor | None,
        kernel: Tensor | None,
        weights: InputAttentionWeights,
    ) -> Tensor:
        out: Tensor
        out, *kept = _samples().forward(x, weights)
        ctx.weights = weights.with_tensors(None, None, None)
        ctx.save_for_backward(x, fc1, fc2, kernel, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *tensors, floats, integers = ctx.saved_tensors
        weights = ctx.weights.with_tensors(*tensors)
        if torch.is_grad_enabled() or not is_ordinary(grad):
            needed = ctx.needs_input_grad[:4]
            definition = lambda x, *given: input_attention_definition(x, ctx.weights.with_tensors(*given))  # noqa: E731
            return *gradients_by_definition(definition, (x, *tensors), needed, grad), None
        return *_samples().backward(grad, x, weights, floats, integers), None
