r"""Group convolution by irreducible representations: a custom autograd function over the compiled kernels.

    dx = correlation of the output's gradient with ψ'[c, o, u, t] = ψ[o, c, u⁻¹, -M_u⁻¹t], padding d(k - 1) - p
    dŵ(ρ) = Σ_p â(ρ)ᵀ·dout̂(ρ),   â computed again tile by tile

The first is again a group convolution, by the same kernel as forward. With a stride the gradient of the input is left
to PyTorch's convolution with the expanded kernel, as are derivatives of derivatives.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.grad import conv2d_input

from attentive_gconv.functional.definition.group_convolution import group_conv2d_definition
from attentive_gconv.functional.fast.by_definition import gradients_by_definition
from attentive_gconv.functional.fast.dispatch import is_ordinary, is_recorded, without_autocast
from attentive_gconv.functional.fast.irreps_conv import irreps_kernels as kernels
from attentive_gconv.functional.fast.irreps_conv.butterflies import program_of
from attentive_gconv.functional.fast.irreps_conv.form_rule import ConvOptions
from attentive_gconv.functional.fast.irreps_conv.irreps_packing import pack, packing_of, unpack_gradient
from attentive_gconv.functional.fast.irreps_conv.tiling import Problem, plan_of
from attentive_gconv.functional.fast.numba_runtime.threads import chunk_count, run_chunks
from attentive_gconv.functional.filters import kernel_index, transform_kernel
from attentive_gconv.functional.geometry import output_size


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, options: ConvOptions, packed: Tensor | None) -> Tensor:
    """The group convolution of ``x (B, C, |H|, Y, X)`` with ``scale·weight (O, C, |H|, k, k)``.

    Args:
        x, weight, bias: float32 or float64, on the CPU.
        options: of the convolution.
        packed: the result of `packed_weight`; None to compute it.

    Raises:
        ValueError: if x, weight and bias do not fit.
    """
    _check(x, weight, bias, options)
    if packed is None:
        packed = packed_weight(weight, options)
    if not is_recorded(x, weight, bias):
        return _forward(x, packed, bias, _problem(x, weight, options))
    out: Tensor = _IrrepsConv.apply(x, weight, bias, options, packed)
    return out


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, options: ConvOptions) -> None:
    """Check what the compiled kernels read without bounds."""
    order, shape = options.group.order, weight.shape
    if len(shape) != 5 or shape[2] != order or shape[3] != shape[4]:
        raise ValueError(f"`weight` of shape {tuple(shape)} must be (O, C, |H|, k, k) with |H| = {order}")
    if x.dim() != 5 or x.shape[1:3] != shape[1:3]:
        raise ValueError(f"`x` of shape {tuple(x.shape)} must be (B, {shape[1]}, {order}, Y, X), as the weight")
    if bias is not None and bias.shape != shape[:1]:
        raise ValueError(f"`bias` of shape {tuple(bias.shape)} must be ({shape[0]},), as the weight")


@torch.no_grad()
def packed_weight(weight: Tensor, options: ConvOptions) -> Tensor:
    """``scale·weight``, transformed and laid out for the compiled products."""
    outputs, channels, _, side, _ = weight.shape
    packing = packing_of(options.group, outputs, channels, side, _kind(weight))
    return pack(weight, packing, options.scale)


def _kind(t: Tensor) -> Any:
    return np.dtype(str(t.dtype).removeprefix("torch."))


def _array(t: Tensor) -> np.ndarray:
    array: np.ndarray = t.detach().contiguous().view(-1).numpy()
    return array


def _problem(x: Tensor, weight: Tensor, options: ConvOptions) -> Problem:
    outputs, channels, _, side, _ = weight.shape
    size = (x.shape[-2], x.shape[-1])
    sizes = (len(x), *size, *output_size(size, (side, side), *options[2:]))
    return Problem(options.group, channels, outputs, side, *options[2:], *sizes)


def _opposite(problem: Problem) -> Problem:
    """The convolution from the output's gradient to the input's, for stride 1."""
    y, x = (d * (problem.kernel_size - 1) - p for p, d in zip(problem.padding, problem.dilation, strict=True))
    return problem._replace(
        channels=problem.outputs,
        outputs=problem.channels,
        padding=(y, x),
        height=problem.out_height,
        width=problem.out_width,
        out_height=problem.height,
        out_width=problem.width,
    )


def _forward(x: Tensor, packed: Tensor, bias: Tensor | None, problem: Problem) -> Tensor:
    tiling, tables = plan_of(problem, _kind(x))
    out = x.new_empty(
        problem.batch, problem.outputs, problem.group.order, problem.out_height, problem.out_width
    )  # fmt: skip
    shift = np.empty(0, _kind(x)) if bias is None else _array(bias)
    arguments = (program_of(problem.group), tiling, tables, _array(x), packed.numpy(), shift, _array(out))
    run_chunks(kernels.forward, tiling.tiles, chunk_count(), *arguments)
    return out


def _kernel_gradient(x: Tensor, grad: Tensor, weight: Tensor, problem: Problem, scale: float) -> Tensor:
    tiling, tables = plan_of(problem, _kind(x))
    chunks = min(torch.get_num_threads(), tiling.tiles)
    sums = x.new_empty(chunks, tiling.blocks * tiling.block_sums)
    arguments = (program_of(problem.group), tiling, tables, _array(x), _array(grad), sums.numpy())
    run_chunks(kernels.kernel_gradient, tiling.tiles, chunks, *arguments)
    packing = packing_of(problem.group, problem.outputs, problem.channels, problem.kernel_size, _kind(x))
    return unpack_gradient(sums[0] if chunks == 1 else sums.sum(0), packing, scale, weight.shape)


def _input_gradient(grad: Tensor, weight: Tensor, problem: Problem, options: ConvOptions, size: torch.Size) -> Tensor:
    if problem.stride != (1, 1):
        kernel = expanded(weight, options).flatten(2, 3).flatten(0, 1)
        planes = torch.Size((size[0], size[1] * size[2], *size[3:]))
        flat = conv2d_input(planes, kernel, grad.flatten(1, 2), *options[2:])
        return flat.view(size)
    packing = packing_of(
        problem.group, problem.outputs, problem.channels, problem.kernel_size, _kind(weight), opposite=True
    )
    return _forward(grad, pack(weight, packing, options.scale), None, _opposite(problem))


def expanded(weight: Tensor, options: ConvOptions) -> Tensor:
    """Every transform of ``scale·weight``: the kernel of the expanded form."""
    index = kernel_index(options.group, weight.shape[-1], over_group=True)
    return transform_kernel(options.scale * weight, index)


def gradients(
    grad: Tensor, x: Tensor, weight: Tensor, options: ConvOptions, of_x: bool, of_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of x and of the weight, None for what is not needed."""
    _check(x, weight, None, options)
    problem = _problem(x, weight, options)
    # backward may be called inside an autocast region that forward was not in
    with without_autocast(x):
        dx = _input_gradient(grad, weight, problem, options, x.shape) if of_x else None
        return dx, _kernel_gradient(x, grad, weight, problem, options.scale) if of_weight else None


class _IrrepsConv(Function):
    """The compiled kernels; gradients of gradients and batched gradients are computed with the expanded kernel."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, options: ConvOptions, packed: Tensor
    ) -> Tensor:
        ctx.options = options
        ctx.save_for_backward(x, weight)
        return _forward(x, packed, bias, _problem(x, weight, options))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or not is_ordinary(grad):
            by_expansion = lambda x, weight: _by_expansion(x, weight, ctx.options)  # noqa: E731
            dx, dweight = gradients_by_definition(by_expansion, (x, weight), (of_x, of_weight), grad)
        else:
            dx, dweight = gradients(grad, x, weight, ctx.options, of_x, of_weight)
        return dx, dweight, grad.sum((0, 2, 3, 4)) if of_bias else None, None, None


def _by_expansion(x: Tensor, weight: Tensor, options: ConvOptions) -> Tensor:
    return group_conv2d_definition(x, expanded(weight, options), None, *options[2:])
