"""Interface of the backends of the streaming form: problem, saved tensors, gradients.

Indices: b sample, m = (o, h) output channel and pose, i input channel, g = h' input pose, p output position, t tap.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.fast.full_attention.layout import Geometry, geometry_of, index_dtype, same_padding
from attentive_gconv.functional.gating import channel_logits
from attentive_gconv.functional.geometry import Pair
from attentive_gconv.functional.operands import FullAttentionWeights


@dataclass(frozen=True)
class Problem:
    """One attentive convolution: weights in the order (g, m, ...) and constants.

    weight ``(G, M, I, K)``; fc1 ``(G, M, R, I)`` and fc2 ``(G, M, I, R)``, or None; psi ``(G, M, 2, A)`` or None,
    cropped to `spatial` and with the 1/I of the mean inside its first kernel. The output is
    ``scale·Σ_{i,g} (skip + attended·α_X·α_C)·f~``. A backend may cache what it derives from the problem alone in
    `forms`, by its name: for backward, or in inference for the next batch.
    """

    geometry: Geometry
    weight: Tensor
    fc1: Tensor | None
    fc2: Tensor | None
    psi: Tensor | None
    spatial: Geometry | None
    scale: float
    skip: float
    attended: float
    forms: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def depth(self) -> int:
        """G."""
        return self.weight.shape[0]

    @property
    def outputs(self) -> int:
        """M."""
        return self.weight.shape[1]

    @property
    def channels(self) -> int:
        """I."""
        return self.weight.shape[2]

    def chunk(self, m: slice) -> "Problem":
        """The problem of a chunk of the outputs, which are independent of each other."""
        if (m.start, m.stop) == (0, self.outputs):
            return self
        fc1, fc2, psi = (None if w is None else w[:, m] for w in (self.fc1, self.fc2, self.psi))
        return replace(self, weight=self.weight[:, m], fc1=fc1, fc2=fc2, psi=psi)

    def kept_bytes(self, itemsize: int) -> int:
        """The bytes that `allocate` needs for one sample and one output."""
        rows, columns = self.geometry.output
        positions = rows * columns if self.psi is not None else 0
        statistics = self.channels if self.fc1 is not None else 0
        of_map = 3 * itemsize + index_dtype(self.channels).itemsize
        of_gate = 2 * itemsize + index_dtype(rows * columns).itemsize
        return self.depth * (positions * of_map + statistics * of_gate)

    def allocate(self, x: Tensor) -> "Saved":
        """Empty tensors for what backward needs."""
        positions = self.geometry.output[0] * self.geometry.output[1]
        maps = (x.shape[0], self.depth, self.outputs, positions)
        gates = (*maps[:3], self.channels)
        saved = Saved()
        if self.psi is not None:
            saved.value, saved.top, saved.alpha = (x.new_empty(maps) for _ in range(3))
            saved.chosen = x.new_empty(maps, dtype=index_dtype(self.channels))
        if self.fc1 is not None:
            saved.mean, saved.maximum = (x.new_empty(gates) for _ in range(2))
            saved.position = x.new_empty(gates, dtype=index_dtype(positions))
        return saved


def problem_of(size: Pair, weights: FullAttentionWeights, dtype: torch.dtype) -> Problem:
    """The problem for maps of a size; cached with weights that cannot change."""
    if weights.forms is None:
        return _pack(size, weights, dtype)
    # read before the cache is cleared: other threads use it, too
    problem: Problem | None = weights.forms.get((size, dtype))
    if problem is None:
        problem = _pack(size, weights, dtype)
        weights.forms.clear()  # one size at a time
        weights.forms[size, dtype] = problem
    return problem


@torch.no_grad()
def _pack(size: Pair, weights: FullAttentionWeights, dtype: torch.dtype) -> Problem:
    kernel, fc1, fc2, spatial_kernel = (None if w is None else w.to(dtype) for w in weights.tensors())
    assert kernel is not None
    geometry = geometry_of(
        size, (kernel.shape[-2], kernel.shape[-1]), weights.stride, weights.padding, weights.dilation
    )
    channels, depth = kernel.shape[2:4]
    weight = kernel.permute(3, 0, 1, 2, 4, 5).flatten(1, 2).flatten(3)
    fc1, fc2 = (None if w is None else w.permute(4, 0, 1, 2, 3).flatten(1, 2).contiguous() for w in (fc1, fc2))
    psi = spatial = None
    if spatial_kernel is not None:
        side = spatial_kernel.shape[-1]
        spatial, (drop_y, drop_x) = same_padding(geometry.output, side, weights.spatial_dilation)
        seen = spatial_kernel[..., drop_y : side - drop_y, drop_x : side - drop_x]
        psi = (seen * _of_statistics(channels, seen)).permute(3, 0, 1, 2, 4, 5).reshape(depth, weight.shape[1], 2, -1)
    return Problem(geometry, weight, fc1, fc2, psi, spatial, weights.scale, *weights.combination)


def _of_statistics(channels: int, like: Tensor) -> Tensor:
    """Factors of the two kernels of the spatial attention: V is the sum over channels, and the statistic their mean."""
    return like.new_tensor([1 / channels, 1.0]).view(2, 1, 1, 1)


def weight_gradients(problem: Problem, weights: FullAttentionWeights, found: "Gradients") -> tuple[Tensor | None, ...]:
    """Gradients of the tensors of a `FullAttentionWeights`, from those of the problem's tensors."""
    out_channels, order, channels, depth, *sides = weights.kernel.shape
    kernel = found.weight.view(depth, out_channels, order, channels, *sides).permute(1, 2, 3, 0, 4, 5)
    gates = (None if d is None else d.unflatten(1, (out_channels, order)).permute(1, 2, 3, 4, 0) for d in found.gates())
    psi = None
    if found.psi is not None and problem.spatial is not None and weights.spatial_kernel is not None:
        rows, columns = problem.spatial.kernel
        seen = found.psi.view(depth, out_channels, order, 2, rows, columns).permute(1, 2, 3, 0, 4, 5)
        side = weights.spatial_kernel.shape[-1]
        drop_y, drop_x = (side - rows) // 2, (side - columns) // 2
        psi = F.pad(seen * _of_statistics(channels, seen), (drop_x, drop_x, drop_y, drop_y))
    return kernel, *gates, psi


@dataclass
class Saved:
    """Tensors saved for backward; None for attention that the layer does not have.

    value V, top T, alpha α_X ``(B, G, M, P)``, and chosen, the channel of each maximum; mean, maximum ``(B, G, M, I)``,
    and position, that of each maximum. α_C is computed from mean and maximum again: that is a few products.
    """

    value: Tensor | None = None
    top: Tensor | None = None
    alpha: Tensor | None = None
    chosen: Tensor | None = None
    mean: Tensor | None = None
    maximum: Tensor | None = None
    position: Tensor | None = None

    def tile(self, b: slice, m: slice) -> "Saved":
        """The saved tensors of a tile of samples and outputs."""
        return Saved(*(None if tensor is None else tensor[b, :, m] for tensor in self.tensors()))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the fields, in the order above."""
        return tuple(each.name for each in fields(cls))

    def tensors(self) -> tuple[Tensor | None, ...]:
        """All of them, in the order above."""
        return tuple(getattr(self, name) for name in self.names())


@dataclass
class Gradients:
    """Gradients of the learned tensors of a `Problem`, and of its input ``x (B, I, G, Y, X)``."""

    x: Tensor
    weight: Tensor
    fc1: Tensor | None = None
    fc2: Tensor | None = None
    psi: Tensor | None = None

    def gates(self) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of the channel gate."""
        return self.fc1, self.fc2

    @classmethod
    def zeros(cls, problem: Problem, x: Tensor) -> "Gradients":
        """Zeros, to accumulate gradients in."""
        gates = (None if w is None else torch.zeros_like(w) for w in (problem.fc1, problem.fc2, problem.psi))
        planes = torch.zeros_like(x, memory_format=torch.contiguous_format)
        return cls(planes, torch.zeros_like(problem.weight), *gates)


def channel_gate(problem: Problem, kept: Saved) -> Tensor:
    """α_C ``(B, G, M, I)`` of a problem that has one."""
    mean, maximum, fc1, fc2 = _gate_inputs(problem, kept)
    logits = channel_logits(
        (mean, maximum),
        lambda s: torch.einsum("gmri,bgmi->bgmr", fc1, s),
        lambda hidden: torch.einsum("gmir,bgmr->bgmi", fc2, hidden),
    )
    return torch.sigmoid(logits)


def _gate_inputs(problem: Problem, kept: Saved) -> list[Tensor]:
    inputs = (kept.mean, kept.maximum, problem.fc1, problem.fc2)
    return [tensor for tensor in inputs if tensor is not None]


def gate_backward(problem: Problem, kept: Saved, d_gate: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Through the channel gate: gradients of mean, maximum, fc1 and fc2."""
    mean, maximum, fc1, fc2 = _gate_inputs(problem, kept)
    gate = channel_gate(problem, kept)
    d_logit = d_gate * gate * (1 - gate)
    d_hidden = torch.einsum("gmir,bgmi->bgmr", fc2, d_logit)
    d_statistics, d_fc1, d_fc2 = [], torch.zeros_like(fc1), torch.zeros_like(fc2)
    for statistic in (mean, maximum):
        hidden = torch.einsum("gmri,bgmi->bgmr", fc1, statistic)
        d_here = torch.where(hidden <= 0, 0, d_hidden)  # NaN passes
        d_statistics.append(torch.einsum("gmri,bgmr->bgmi", fc1, d_here))
        d_fc1 += torch.einsum("bgmr,bgmi->gmri", d_here, statistic)
        d_fc2 += torch.einsum("bgmi,bgmr->gmir", d_logit, torch.relu(hidden))
    return d_statistics[0], d_statistics[1], d_fc1, d_fc2


class Backend(Protocol):
    """Interface of a backend: a module with these two functions."""

    name: str

    def forward(self, problem: Problem, x: Tensor, save: bool, budget: int) -> tuple[Tensor, Saved | None]:
        """Attended responses ``(B, M, Y', X')`` of ``x (B, I, G, Y, X)``, and what backward needs."""
        ...

    def backward(self, problem: Problem, x: Tensor, kept: Saved, grad: Tensor, budget: int) -> Gradients:
        """Gradients, all but the plain convolution's weight gradient."""
        ...


def sum_of_tiles(
    problem: Problem,
    x: Tensor,
    ranges: Iterable[tuple[slice, slice]],
    of_tile: Callable[[Problem, slice, slice], Gradients],
) -> Gradients:
    """The sum of the gradients that `of_tile` gives for every tile of samples and outputs."""
    total = Gradients.zeros(problem, x)
    for b, m in ranges:
        found = of_tile(problem.chunk(m), b, m)
        total.x[b] += found.x
        for name in ("weight", "fc1", "fc2", "psi"):
            if (sum_of := getattr(total, name)) is not None:
                sum_of[:, m] += getattr(found, name)
    return total
