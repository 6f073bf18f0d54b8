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
from attentive_gconv.functional.fast.dispatch import is_ordinary, is_recorded
from attentive_gconv.functional.fast.irreps_conv import irreps_kernels as kernels
from attentive_gconv.functional.fast.irreps_conv.butterflies import program_of
from attentive_gconv.functional.fast.irreps_conv.form_rule import Geometry
from attentive_gconv.functional.fast.irreps_conv.irreps_packing import pack, packing_of, unpack_gradient
from attentive_gconv.functional.fast.irreps_conv.tiling import Problem, plan_of
from attentive_gconv.functional.fast.numba_runtime.threads import chunk_count, run_chunks
from attentive_gconv.functional.filters import kernel_index, transform_kernel


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, packed: Tensor | None) -> Tensor:
    """The group convolution of ``x (B, C, |H|, Y, X)`` with ``scale·weight (O, C, |H|, k, k)``.

    Args:
        x, weight, bias: float32 or float64, on the CPU.
        geometry: the rest.
        packed: the weight as `packed_weight` gives it; None to make it here.
    """
    if packed is None:
        packed = packed_weight(weight, geometry)
    if not is_recorded(x, weight, bias):
        return _forward(x, packed, bias, _problem(x, weight, geometry))
    out: Tensor = _IrrepsConv.apply(x, weight, bias, geometry, packed)
    return out


@torch.no_grad()
def packed_weight(weight: Tensor, geometry: Geometry) -> Tensor:
    """``scale·weight``, transformed and laid out for the compiled products."""
    outputs, channels, _, side, _ = weight.shape
    packing = packing_of(geometry.group, outputs, channels, side, _kind(weight))
    return pack(weight, packing, geometry.scale)


def _kind(t: Tensor) -> Any:
    return np.dtype(str(t.dtype).removeprefix("torch."))


def _array(t: Tensor) -> np.ndarray:
    array: np.ndarray = t.detach().contiguous().view(-1).numpy()
    return array


def _problem(x: Tensor, weight: Tensor, geometry: Geometry) -> Problem:
    outputs, channels, _, side, _ = weight.shape
    height, width = x.shape[-2:]
    stride, padding, dilation = geometry.stride, geometry.padding, geometry.dilation
    out_height, out_width = (
        (size + 2 * p - d * (side - 1) - 1) // s + 1
        for size, s, p, d in zip((height, width), stride, padding, dilation, strict=True)
    )
    sizes = (len(x), height, width, out_height, out_width)
    return Problem(geometry.group, channels, outputs, side, stride, padding, dilation, *sizes)


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


def _input_gradient(grad: Tensor, weight: Tensor, problem: Problem, geometry: Geometry, size: torch.Size) -> Tensor:
    if problem.stride != (1, 1):
        kernel = _expanded(weight, geometry).flatten(2, 3).flatten(0, 1)
        planes = torch.Size((size[0], size[1] * size[2], *size[3:]))
        flat = conv2d_input(planes, kernel, grad.flatten(1, 2), *geometry[2:])
        return flat.view(size)
    packing = packing_of(
        problem.group, problem.outputs, problem.channels, problem.kernel_size, _kind(weight), opposite=True
    )
    return _forward(grad, pack(weight, packing, geometry.scale), None, _opposite(problem))


def _expanded(weight: Tensor, geometry: Geometry) -> Tensor:
    index = kernel_index(geometry.group, weight.shape[-1], over_group=True)
    return transform_kernel(geometry.scale * weight, index)


class _IrrepsConv(Function):
    """The kernels; derivatives of derivatives and several gradients at once by the expanded kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, packed: Tensor) -> Tensor:
        ctx.geometry = geometry
        ctx.save_for_backward(x, weight)
        return _forward(x, packed, bias, _problem(x, weight, geometry))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        dx = dweight = None
        if torch.is_grad_enabled() or not is_ordinary(grad):
            expanded = lambda: _by_expansion(x, weight, ctx.geometry)  # noqa: E731
            dx, dweight = gradients_by_definition(expanded, (x, weight), (of_x, of_weight), grad)
        else:
            problem = _problem(x, weight, ctx.geometry)
            if of_x:
                dx = _input_gradient(grad, weight, problem, ctx.geometry, x.shape)
            if of_weight:
                dweight = _kernel_gradient(x, grad, weight, problem, ctx.geometry.scale)
        return dx, dweight, grad.sum((0, 2, 3, 4)) if of_bias else None, None, None


def _by_expansion(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    return group_conv2d_definition(x, _expanded(weight, geometry), None, *geometry[2:])
