"""The streaming form on GPUs with Triton kernels: planes laid out, kernels launched, partial sums added.

All arithmetic is in the dtype of x, float32 or float64, without TF32; float16 and bfloat16 come in already converted
(`...full_attention.streaming`), so that a layer under autocast costs what it costs in float32, plus
two conversions of the map: the kernels are bound by multiply-adds and by loads from the caches, not by the bytes of x.
The library's own convolution gives the weight gradient of the skipped part, under PyTorch's own setting for TF32
(`torch.backends.cudnn.allow_tf32`).

The 7×7 convolutions of the maps have kernels of their own: a grouped convolution of cuDNN would want V and T stacked in
one more tensor, may use TF32, and could not end in the sigmoid and the sum over g.

The memory budget bounds the gradients of V and T, dz, and in inference V and T themselves; it cuts the batch, so that
a small one leaves a large GPU idle.

State: values and gradients were tested on an H200 with Triton 3.6, and are tested through Triton's interpreter on the
CPU. Tile sizes come from counting the compiled instructions; a step of alpha_p4_allcnnc takes 17.5 times the least
time that `benchmarks/gpu_floor.md` computes (docs/gpu.md).
"""

import contextlib
from typing import Any

import torch
import triton
from torch import Tensor

from attentive_gconv.functional.chunking import tiles
from attentive_gconv.functional.fast.full_attention import triton_gradients as gradients
from attentive_gconv.functional.fast.full_attention import triton_kernels as kernels
from attentive_gconv.functional.fast.full_attention.layout import Geometry
from attentive_gconv.functional.fast.full_attention.problem import (
    Gradients,
    Problem,
    Saved,
    channel_gate,
    gate_backward,
    sum_of_tiles,
)

name = "triton"

PROGRAMS = 1024  # into how many programs a sum over the batch is cut; a constant, so that sums do not depend on the GPU
THREADS = 128


def forward(problem: Problem, x: Tensor, save: bool, budget: int) -> tuple[Tensor, Saved | None]:
    """Attended responses ``(B, M, Y', X')`` of ``x (B, I, G, Y, X)``, and what backward needs."""
    rows, columns = problem.geometry.output
    out = x.new_empty((x.shape[0], problem.outputs, rows * columns))
    kept = problem.allocate(x) if save else None
    with _on(x):
        if kept is not None:
            _forward(problem, x, kept, out)
        else:
            # the maps that would be kept are working memory now
            for b, m in tiles(len(x), problem.outputs, problem.kept_bytes(x.element_size()), budget):
                chunk = problem.chunk(m)
                target = out[b, m].contiguous()
                _forward(chunk, x[b], chunk.allocate(x[b]), target)
                out[b, m] = target
    return out.unflatten(-1, (rows, columns)), kept


def backward(problem: Problem, x: Tensor, kept: Saved, grad: Tensor, budget: int) -> Gradients:
    """Gradients for ``grad (B, M, Y', X')``; the plain convolution's weight gradient is left to the caller."""
    rows, columns = problem.geometry.output
    each = 4 * problem.channels if problem.fc1 is not None else 0
    if problem.spatial is not None:
        each += 2 * rows * columns + problem.spatial.length
    each = max(1, each * problem.depth * x.element_size())

    def of_tile(chunk: Problem, b: slice, m: slice) -> Gradients:
        return _backward(chunk, x[b], kept.tile(b, m), grad[b, m], budget)

    with _on(x):
        return sum_of_tiles(problem, x, tiles(len(x), problem.outputs, each, budget), of_tile)


def _on(x: Tensor) -> contextlib.AbstractContextManager[Any]:
    """Kernels go to the current GPU, which need not be that of x."""
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()


def _launch(kernel: Any, programs: int, *arguments: Any, warps: int = THREADS // 32, **constants: Any) -> None:
    tensors = (a.contiguous() if isinstance(a, Tensor) else a for a in arguments)
    kernel[(programs,)](*tensors, **constants, num_warps=warps, enable_fp_fusion=True)


def _block(size: int, most: int) -> int:
    """A power of two up to `most` whose multiples cover the size with little waste."""
    block = most
    while block > 4 and -(-size // block) * block > 1.25 * size:
        block //= 2
    return min(block, triton.next_power_of_2(size))


def _tile(outputs: int, columns: int, most: int, each: int) -> tuple[int, int]:
    """Blocks of outputs (or channels) and of what lies along a warp, with `each` numbers a thread."""
    across = _block(columns, most)
    return _block(outputs, max(1, THREADS * each // across)), across


def _taps(geometry: Geometry) -> dict[str, int]:
    """A convolution's kernel, as constants of the kernels."""
    (stride_y, stride_x), (dilation_y, dilation_x) = geometry.stride, geometry.dilation
    taps = geometry.kernel[0] * geometry.kernel[1]
    return {
        "wide": geometry.kernel[1], "taps": taps,
        "stride_y": stride_y, "stride_x": stride_x, "dilation_y": dilation_y, "dilation_x": dilation_x,
    }  # fmt: skip


def _map_taps(geometry: Geometry) -> dict[str, int]:
    """The same of a spatial attention."""
    return {
        "wide": geometry.kernel[1], "taps": geometry.kernel[0] * geometry.kernel[1],
        "dilation": geometry.dilation[0], "reach_y": geometry.padding[0], "reach_x": geometry.padding[1],
    }  # fmt: skip


def _plane(geometry: Geometry) -> tuple[int, ...]:
    """Sizes of the output and of a spread plane."""
    return (*geometry.output, geometry.pitch, geometry.phase[0] * geometry.phase[1], geometry.length)


def _parts(problem: Problem) -> dict[str, bool]:
    return {"channel": problem.fc1 is not None, "spatial": problem.psi is not None}


def _each(taps: int) -> int:
    """How many results a thread keeps, when each needs a register for every tap."""
    return max(1, min(8, triton.next_power_of_2(72 // taps + 1) // 2))


def _window_means(problem: Problem, planes: Tensor) -> Tensor:
    """The mean of every tap's window, ``(B, G, K, I)``."""
    geometry, channels = problem.geometry, problem.channels
    rows, columns = geometry.output
    out = planes.new_empty((*planes.shape[:2], problem.weight.shape[-1], channels))
    block_i, block_p = _tile(channels, rows * columns, 128, 8)
    programs = planes.shape[0] * problem.depth * triton.cdiv(channels, block_i)
    _launch(
        kernels.window_means, programs, planes, out, channels, *_plane(geometry),
        **_taps(geometry), block_i=block_i, block_p=block_p,
    )  # fmt: skip
    return out


def _channel_statistics(problem: Problem, planes: Tensor, kept: Saved) -> None:
    """Mean and maximum of f~."""
    weight = problem.weight.transpose(2, 3)
    points = planes.transpose(2, 3)
    block_m, block_i = _tile(problem.outputs, problem.channels, 32, _each(weight.shape[2]))
    blocks = triton.cdiv(problem.outputs, block_m) * triton.cdiv(problem.channels, block_i)
    _launch(
        kernels.position_maxima, planes.shape[0] * problem.depth * blocks, points, weight, kept.maximum, kept.position,
        problem.depth, problem.outputs, problem.channels, *_plane(problem.geometry),
        **_taps(problem.geometry), block_m=block_m, block_i=block_i,
    )  # fmt: skip
    _present(kept.mean).copy_(torch.einsum("gmti,bgti->bgmi", weight, _window_means(problem, planes)))


def _forward(problem: Problem, x: Tensor, kept: Saved, out: Tensor) -> None:
    """Fill `out` ``(B, M, P)`` and `kept`, all of them contiguous."""
    geometry, batch, outputs = problem.geometry, x.shape[0], problem.outputs
    rows, columns = geometry.output
    planes = geometry.spread(x)
    gate = x
    if problem.fc1 is not None:
        _channel_statistics(problem, planes, kept)
        gate = channel_gate(problem, kept)
    block_m, block_p = _tile(outputs, rows * columns, 128, 16)
    programs = batch * triton.cdiv(outputs, block_m) * triton.cdiv(rows * columns, block_p)
    _launch(
        kernels.attend_channels, programs, planes, problem.weight.permute(0, 2, 3, 1),
        gate, *(_or(t, x) for t in (kept.value, kept.top, kept.chosen)), out,
        problem.depth, outputs, problem.channels, *_plane(geometry),
        **_taps(geometry), **_parts(problem), skip=problem.skip, attended=problem.attended,
        block_m=block_m, block_p=block_p,
    )  # fmt: skip
    if problem.psi is not None and problem.spatial is not None:
        block_m, block_p = _tile(outputs, rows * columns, 128, 8)
        programs = batch * triton.cdiv(outputs, block_m) * triton.cdiv(rows * columns, block_p)
        _launch(
            kernels.attend_positions, programs, kept.value, kept.top, problem.psi, kept.alpha, out,
            problem.depth, outputs, rows, columns,
            **_map_taps(problem.spatial), attended=problem.attended, block_m=block_m, block_p=block_p,
        )  # fmt: skip
    if problem.scale != 1:
        out *= problem.scale


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


def _or(tensor: Tensor | None, stand_in: Tensor) -> Tensor:
    """The tensor, or another one in its place where the attention is absent: kernels take no None."""
    return stand_in if tensor is None else tensor


def _shares(batch: int, programs: int, bytes_each: int, budget: int) -> tuple[int, int]:
    """Into how many shares a sum over the batch is cut, and how many samples are in each."""
    shares = max(1, min(batch, PROGRAMS // programs, budget // bytes_each))
    share = triton.cdiv(batch, shares)
    return triton.cdiv(batch, share), share


def _through_spatial(problem: Problem, d: Tensor, kept: Saved, budget: int) -> tuple[Tensor, Tensor, Tensor]:
    """Through the spatial attention: gradients of V, of V and T where they are one channel's, and of psi."""
    geometry, psi, outputs, depth = problem.spatial, problem.psi, problem.outputs, problem.depth
    assert geometry is not None
    psi, value = _present(psi), _present(kept.value)
    (rows, columns), batch, length = geometry.size, d.shape[0], geometry.length
    sizes = (depth, outputs, rows, columns, length)
    border = d.new_empty((batch, depth, outputs, length))
    block_m, block_p = _tile(outputs, length, 128, 8)
    programs = batch * depth * triton.cdiv(outputs, block_m) * triton.cdiv(length, block_p)
    _launch(
        gradients.logit_gradients, programs, d, value, kept.alpha, border, *sizes,
        reach_y=geometry.padding[0], reach_x=geometry.padding[1], attended=problem.attended,
        block_m=block_m, block_p=block_p,
    )  # fmt: skip
    d_value, d_both = torch.empty_like(value), torch.empty_like(value)
    block_m, block_p = _tile(outputs, rows * columns, 128, 8)
    programs = batch * depth * triton.cdiv(outputs, block_m) * triton.cdiv(rows * columns, block_p)
    _launch(
        gradients.map_gradients, programs, d, kept.alpha, border, psi, d_value, d_both, *sizes,
        **_map_taps(geometry), attended=problem.attended, block_m=block_m, block_p=block_p,
    )  # fmt: skip
    shares, share = _shares(batch, depth * outputs, psi.numel() * psi.element_size(), budget)
    sums = psi.new_empty((shares, *psi.shape))
    _launch(
        gradients.spatial_weight_gradients, shares * depth * outputs, value, kept.top, border, sums,
        batch, share, depth * outputs, rows, columns, length, **_map_taps(geometry),
        block_a=triton.next_power_of_2(psi.shape[-1]), block_p=_block(rows * columns, 64),
    )  # fmt: skip
    return d_value, d_both, sums.sum(0)


def _backward(problem: Problem, x: Tensor, kept: Saved, grad: Tensor, budget: int) -> Gradients:
    geometry, depth, outputs, channels = problem.geometry, problem.depth, problem.outputs, problem.channels
    batch, (height, width), (rows, columns) = x.shape[0], geometry.size, geometry.output
    found = Gradients(torch.empty_like(x, memory_format=torch.contiguous_format), problem.weight)
    d = (problem.scale * grad).flatten(2)
    d_value = d_both = d
    if problem.psi is not None:
        d_value, d_both, found.psi = _through_spatial(problem, d, kept, budget)
    weight = problem.weight.transpose(2, 3).contiguous()  # (G, M, K, I)
    planes = geometry.spread(x)
    points = planes.transpose(2, 3).contiguous()
    taps, parts, chosen = _taps(geometry), _parts(problem), _or(kept.chosen, x)
    block_m, block_i = _tile(outputs, channels, 32, _each(taps["taps"]))
    programs = depth * triton.cdiv(outputs, block_m) * triton.cdiv(channels, block_i)
    shares, share = _shares(batch, programs, weight.numel() * weight.element_size(), budget)
    sums = weight.new_empty((shares, *weight.shape))
    gate, d_gate = x, d
    if problem.fc1 is not None:
        gate = channel_gate(problem, kept).contiguous()
        d_gate = torch.empty_like(gate)
    of_batch = (batch, share, depth, outputs, channels, *_plane(geometry))
    blocks = {"block_m": block_m, "block_i": block_i}
    _launch(
        gradients.weight_gradients, shares * programs, points, weight, gate, d, d_value, d_both, chosen, d_gate, sums,
        *of_batch, **taps, **parts, attended=problem.attended, **blocks,
    )  # fmt: skip
    of_means = d_maximum = d
    of_weight: Tensor | float = 0.0
    if problem.fc1 is not None:
        d_mean, d_maximum, found.fc1, found.fc2 = gate_backward(problem, kept, d_gate)
        of_means = torch.einsum("bgmi,gmti->bgti", d_mean, weight) / (rows * columns)
        of_weight = torch.einsum("bgmi,bgti->gmti", d_mean, _window_means(problem, planes))
        _launch(
            gradients.maximum_weight_gradients, shares * programs, points, d_maximum, kept.position, sums,
            *of_batch, **taps, **blocks,
        )  # fmt: skip
    del planes, points
    found.weight = (sums.sum(0) + of_weight).transpose(2, 3)
    of_input = {**taps, "padding_y": geometry.padding[0], "padding_x": geometry.padding[1]}
    block_i, block_p = _tile(channels, height * width, 128, 16)
    programs = batch * depth * triton.cdiv(channels, block_i) * triton.cdiv(height * width, block_p)
    _launch(
        gradients.input_gradients, programs, weight, gate, d, d_value, d_both, chosen, of_means, found.x,
        depth, outputs, channels, height, width, rows, columns,
        **of_input, **parts, skip=problem.skip, attended=problem.attended, block_i=block_i, block_p=block_p,
    )  # fmt: skip
    if problem.fc1 is not None:
        _launch(
            gradients.maximum_input_gradients, batch * depth * triton.cdiv(channels, 32),
            weight, d_maximum, kept.position, found.x, depth, outputs, channels, height, width, columns,
            **of_input, block_i=32, block_t=triton.next_power_of_2(taps["taps"]), warps=1,
        )  # fmt: skip
    return found
