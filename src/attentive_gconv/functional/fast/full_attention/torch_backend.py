"""The streaming form in PyTorch operations alone: the fallback that works wherever PyTorch does.

f~ exists for a tile of samples and outputs at a time, never as a whole; the tile is sized by the memory budget.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.chunking import tiles
from attentive_gconv.functional.fast.full_attention.layout import Geometry
from attentive_gconv.functional.fast.full_attention.problem import (
    Gradients,
    Problem,
    Saved,
    channel_gate,
    gate_backward,
    sum_of_tiles,
)

name = "torch"
TILE_BYTES = 16 << 20  # larger tiles leave the caches without saving calls


def forward(problem: Problem, x: Tensor, save: bool, budget: int) -> tuple[Tensor, Saved | None]:
    """Attended responses ``(B, M, Y', X')`` of ``x (B, I, G, Y, X)``, and what backward needs."""
    rows, columns = problem.geometry.output
    out = x.new_empty((x.shape[0], problem.outputs, rows * columns))
    kept = problem.allocate(x) if save else None
    for b, m in _tiles(problem, x, budget):
        chunk = problem.chunk(m)
        responses = _responses(chunk, _windows(problem.geometry, x[b]))
        out[b, m], found = _attend(chunk, responses)
        for target, source in zip((kept or Saved()).tensors(), found.tensors(), strict=True):
            if target is not None and source is not None:
                target[b, :, m] = source
    return out.unflatten(-1, (rows, columns)), kept


def backward(problem: Problem, x: Tensor, kept: Saved, grad: Tensor, budget: int) -> Gradients:
    """Gradients for ``grad (B, M, Y', X')``; the plain convolution's weight gradient is left to the caller."""

    def of_tile(chunk: Problem, b: slice, m: slice) -> Gradients:
        return _tile_backward(chunk, x[b], kept.tile(b, m), grad[b, m])

    return sum_of_tiles(problem, x, _tiles(problem, x, budget), of_tile)


def _tiles(problem: Problem, x: Tensor, budget: int) -> Iterator[tuple[slice, slice]]:
    """Ranges of samples and outputs whose f~ fits the budget."""
    rows, columns = problem.geometry.output
    each = problem.depth * problem.channels * rows * columns * x.element_size()
    return tiles(len(x), problem.outputs, each, min(budget, TILE_BYTES))


def _taps(geometry: Geometry) -> Iterator[tuple[slice, slice]]:
    """For every tap, what it sees of the padded plane."""
    for ty in range(geometry.kernel[0]):
        for tx in range(geometry.kernel[1]):
            y, x = (
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip((ty, tx), geometry.dilation, geometry.output, geometry.stride, strict=True)
            )
            yield y, x


def _windows(geometry: Geometry, x: Tensor) -> Tensor:
    """Every tap's view of the input: ``(B, I, G, Y, X)`` -> ``(B, G, I, K, P)``."""
    py, px = geometry.padding
    padded = F.pad(x.transpose(1, 2), (px, px, py, py))
    return torch.stack([padded[..., y, x] for y, x in _taps(geometry)], dim=3).flatten(4)


def _fold(geometry: Geometry, windows: Tensor) -> Tensor:
    """The transpose of `_windows`."""
    (py, px), (height, width) = geometry.padding, geometry.size
    padded = windows.new_zeros((*windows.shape[:3], height + 2 * py, width + 2 * px))
    planes = windows.unflatten(-1, geometry.output)
    for t, (y, x) in enumerate(_taps(geometry)):
        padded[..., y, x] += planes[:, :, :, t]
    return padded[..., py : py + height, px : px + width].transpose(1, 2)


def _responses(problem: Problem, windows: Tensor) -> Tensor:
    """f~ of a tile, ``(B, G, I, M, P)``."""
    return problem.weight.transpose(1, 2) @ windows


def _attend(problem: Problem, responses: Tensor) -> tuple[Tensor, Saved]:
    """The output ``(B, M, P)`` of a tile, and what backward needs of it."""
    kept = Saved()
    attended = responses
    if problem.fc1 is not None and problem.fc2 is not None:
        kept.mean = responses.mean(-1).transpose(2, 3)
        top = responses.max(-1)
        kept.maximum, position = top.values.transpose(2, 3), top.indices.transpose(2, 3)
        kept.position = position
        attended = channel_gate(problem, kept).transpose(2, 3).unsqueeze(-1) * responses
    value = attended.sum(2)
    product = value
    if problem.psi is not None:
        largest = attended.max(2)
        kept.value, kept.top, kept.chosen = value, largest.values, largest.indices
        kept.alpha = torch.sigmoid(_depthwise(problem, torch.stack([value, kept.top], 3), problem.psi))
        product = kept.alpha * value
    out = problem.attended * product.sum(1)
    if problem.skip:
        out = out + problem.skip * responses.sum((1, 2))
    return problem.scale * out, kept


def _geometry_of_map(problem: Problem) -> Geometry:
    if problem.spatial is None:
        raise ValueError("the problem has no spatial attention")
    return problem.spatial


def _depthwise(problem: Problem, planes: Tensor, psi: Tensor) -> Tensor:
    """Correlate planes ``(B, G, M, S, P)`` with kernels ``(G, M, S, A)``, summing over S: ``(B, G, M, P)``."""
    geometry = _geometry_of_map(problem)
    batch, depth, outputs, stack = planes.shape[:4]
    maps = planes.reshape(batch, depth * outputs * stack, *geometry.size)
    kernel = psi.reshape(depth * outputs, stack, *geometry.kernel)
    logits = F.conv2d(maps, kernel, None, 1, geometry.padding, geometry.dilation, groups=depth * outputs)
    return logits.view(batch, depth, outputs, -1)


def _depthwise_weight_gradient(problem: Problem, planes: Tensor, dz: Tensor) -> Tensor:
    """The kernels' gradient for planes and dz ``(B, G, M, P)``: ``(G, M, A)``.

    For each row of taps one product of a matrix over (sample, row) per plane; its diagonals are the taps. The library's
    own gradient of a depthwise convolution is many times slower on the CPU.
    """
    geometry = _geometry_of_map(problem)
    (height, width), (py, px), dilation = geometry.size, geometry.padding, geometry.dilation[0]
    batch, depth, outputs, _ = planes.shape
    padded = F.pad(planes.reshape(batch, depth * outputs, height, width), (px, px, py, py)).transpose(0, 1)
    left = dz.reshape(batch, depth * outputs, height, width).permute(1, 3, 0, 2).flatten(2)
    taps = []
    for ty in range(geometry.kernel[0]):
        band = left @ padded[:, :, ty * dilation : ty * dilation + height].flatten(1, 2)
        taps += [band.diagonal(tx * dilation, 1, 2)[:, :width].sum(-1) for tx in range(geometry.kernel[1])]
    return torch.stack(taps, -1).view(depth, outputs, -1)


def _tile_backward(problem: Problem, x: Tensor, kept: Saved, grad: Tensor) -> Gradients:
    geometry = problem.geometry
    windows = _windows(geometry, x)
    d = (problem.scale * grad.flatten(2))[:, None]
    found = Gradients(x, problem.weight)
    du = (problem.attended * d).unsqueeze(2)
    if problem.psi is not None and kept.value is not None and kept.alpha is not None and kept.top is not None:
        dz = problem.attended * d * kept.value * kept.alpha * (1 - kept.alpha)
        found.psi = torch.stack([_depthwise_weight_gradient(problem, s, dz) for s in (kept.value, kept.top)], 2)
        flipped = problem.psi.flip(-1)
        d_value, d_top = (_depthwise(problem, dz.unsqueeze(3), flipped[:, :, s : s + 1]) for s in (0, 1))
        d_value = d_value + problem.attended * d * kept.alpha
        channel = torch.arange(problem.channels, device=x.device)[:, None, None]
        assert kept.chosen is not None
        du = d_value.unsqueeze(2) + torch.where(kept.chosen.unsqueeze(2) == channel, d_top.unsqueeze(2), 0)
    du = du.expand(-1, problem.depth, problem.channels, -1, -1)
    products = du @ windows.transpose(-1, -2)  # (B, G, I, M, K)
    weight = problem.weight.transpose(1, 2)
    gate = channel_gate(problem, kept).transpose(2, 3).unsqueeze(-1) if problem.fc1 is not None else None
    df = du if gate is None else gate * du
    if problem.skip:
        df = df + (problem.skip * d).unsqueeze(2)
    d_windows = weight.transpose(-1, -2) @ df
    d_weight = (products if gate is None else gate * products).sum(0)
    if problem.fc1 is not None and kept.position is not None:
        d_gate = (weight * products).sum(-1).transpose(2, 3)
        d_mean, d_maximum, found.fc1, found.fc2 = gate_backward(problem, kept, d_gate)
        d_mean, d_maximum = d_mean.transpose(2, 3).unsqueeze(-1), d_maximum.transpose(2, 3).unsqueeze(-1)
        positions = kept.position.transpose(2, 3).long().unsqueeze(-2).expand(-1, -1, -1, geometry.kernel[0] ** 2, -1)
        seen = windows.gather(-1, positions).transpose(-1, -2)
        d_weight = d_weight + (d_mean * windows.mean(-1).unsqueeze(-2) + d_maximum * seen).sum(0)
        d_windows = d_windows + (d_mean * weight).sum(-2).unsqueeze(-1) / windows.shape[-1]
        d_windows = d_windows.scatter_add(-1, positions, (d_maximum * weight).transpose(-1, -2))
    found.weight = d_weight.transpose(1, 2)
    found.x = _fold(geometry, d_windows)
    return found
