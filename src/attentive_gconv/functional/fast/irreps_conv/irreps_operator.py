"""A group convolution as custom operators of PyTorch (`torch.library`), opaque to `torch.compile`.

Compilers see two operators, forward and backward, and the shapes of their outputs. Which form computes, by irreducible
representations or expanded, is decided at every call by `...form_rule`, so that one compiled graph serves all sizes.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional.definition.group_convolution import group_conv2d_definition
from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.fast.irreps_conv.form_rule import (
    ConvOptions,
    elements_of,
    group_of,
    irreps_are_faster,
    size_of,
)
from attentive_gconv.functional.filters import kernel_index
from attentive_gconv.functional.geometry import output_size, three_pairs


def operation() -> Any:
    """The module of the compiled kernels, which needs Numba."""
    return importlib.import_module("attentive_gconv.functional.fast.irreps_conv.irreps_operation")


def group_conv2d_by_operator(x: Tensor, weight: Tensor, bias: Tensor | None, options: ConvOptions, form: str) -> Tensor:
    """The group convolution as an operator, which chooses the form; `takes_operator` tells where.

    Args:
        x, weight, bias, options: as in `attentive_gconv.functional.fast.irreps_conv.irreps_conv2d`.
        form: a key of `FORMS`, not ``"expanded"``.

    Returns:
        ``(B, O, |H|, Y', X')``.
    """
    elements, sizes = elements_of(options.group), [*options.stride, *options.padding, *options.dilation]
    training = dispatch.is_recorded(x, weight, bias)
    out: Tensor = _forward(x, weight, bias, elements, options.scale, sizes, form, training)
    return out


def _options(elements: Sequence[int], scale: float, sizes: Sequence[int]) -> ConvOptions:
    return ConvOptions(group_of(tuple(elements)), scale, *three_pairs(sizes))


def _runs_irreps(x: Tensor, weight: Tensor, options: ConvOptions, form: str, training: bool) -> bool:
    return x.numel() > 0 and (form == "irreps" or irreps_are_faster(size_of(x, weight, options, training=training)))


@torch.library.custom_op("attentive_gconv::group_conv2d", mutates_args=())
def _forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, elements: Sequence[int], scale: float, sizes: Sequence[int],
    form: str, training: bool,
) -> Tensor:  # fmt: skip
    options = _options(elements, scale, sizes)
    out: Tensor
    if _runs_irreps(x, weight, options, form, training):
        out = operation().convolve(x, weight, bias, options, None)
    else:
        out = group_conv2d_definition(x, operation().expanded(weight, options), bias, *options[2:]).contiguous()
    return out


@torch.library.custom_op("attentive_gconv::group_conv2d_backward", mutates_args=())
def _backward(
    grad: Tensor, x: Tensor, weight: Tensor, elements: Sequence[int], scale: float, sizes: Sequence[int], form: str,
    of_x: bool, of_weight: bool,
) -> list[Tensor]:  # fmt: skip
    """The gradients of x and of the weight, those that are needed."""
    options = _options(elements, scale, sizes)
    if _runs_irreps(x, weight, options, form, training=True):
        found = operation().gradients(grad, x, weight, options, of_x, of_weight)
    else:
        found = _expanded_gradients(grad, x, weight, options, of_x, of_weight)
    return [gradient.contiguous() for gradient in found if gradient is not None]


def _expanded_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, options: ConvOptions, of_x: bool, of_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    kernel = operation().expanded(weight, options)  # (O, |H|, C, |H'|, k, k)
    dx, dkernel, _ = torch.ops.aten.convolution_backward(
        grad.flatten(1, 2), x.flatten(1, 2), kernel.flatten(2, 3).flatten(0, 1), None, *options[2:],
        False, [0, 0], 1, [of_x, of_weight, False],
    )  # fmt: skip
    dweight = None
    if of_weight:
        # entry by entry, the transforms are a gather from the weight: its gradient is a sum of what was gathered
        index = kernel_index(options.group, weight.shape[-1], over_group=True).flatten()
        gathered = dkernel.view(kernel.shape).movedim(1, 2).reshape(-1, len(index))
        entries = weight.shape[-3:].numel()
        dweight = gathered.new_zeros(len(gathered), entries).index_add_(1, index, gathered, alpha=options.scale)
        dweight = dweight.view(weight.shape)
    return dx.view(x.shape) if of_x else None, dweight


@_forward.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, elements: Any, scale: float, sizes: Any, *_: Any) -> Tensor:
    side = (weight.shape[-1], weight.shape[-1])
    out = output_size((x.shape[-2], x.shape[-1]), side, *three_pairs(sizes))
    return x.new_empty((x.shape[0], weight.shape[0], weight.shape[2], *out))


@_backward.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, *options: Any) -> list[Tensor]:
    wanted = (tensor for tensor, needed in zip((x, weight), options[-2:], strict=True) if needed)
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in wanted]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.constants = inputs[3:7]


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
    found = iter(_backward(grad, *ctx.saved_tensors, *ctx.constants, of_x, of_weight))
    dx, dweight = (next(found) if needed else None for needed in (of_x, of_weight))
    return dx, dweight, grad.sum((0, 2, 3, 4)) if of_bias else None, None, None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)
