"""Operands: the weights and the options of an attention, in one object.

A layer packs them and hands them to one operation; the definition and every fast form of the operation take the same
object. Full attention takes transformed weights, which a layer caches in inference; input attention takes the learned
weights and the tables of their transforms.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from attentive_gconv.functional.filters import transform_kernel
from attentive_gconv.functional.gating import SUPPRESS, Combination
from attentive_gconv.functional.geometry import Pair, pair


@dataclass(eq=False)
class FullAttentionWeights:
    """Weights and options of a convolution with full attention; every weight holds all its transforms.

    Args:
        kernel: ``(O, |H|, C, |H'|, k, k)``; |H'| is 1 in a lifting layer.
        fc1, fc2: gate of the channel attention, ``(O, |H|, R, C, |H'|)`` and ``(O, |H|, C, R, |H'|)``; None for none.
        spatial_kernel: of the spatial attention, ``(O, |H|, 2, |H'|, a, a)`` with a odd; None for none.
        stride, padding, dilation: of the convolution, one integer or (Y, X).
        spatial_dilation: of the spatial attention.
        scale: the quadrature weight q.
        combination: how the suppression map α acts on f~; the paper's is ``(1 - α) f~``.

    Attributes:
        forms: tensors that a fast form derives from the weights alone, cached with them in inference.

    Raises:
        ValueError: without any attention, or with half a channel gate.
    """

    kernel: Tensor
    fc1: Tensor | None = None
    fc2: Tensor | None = None
    spatial_kernel: Tensor | None = None
    stride: int | Pair = 1
    padding: int | Pair = 0
    dilation: int | Pair = 1
    spatial_dilation: int = 1
    scale: float = 1.0
    combination: Combination = SUPPRESS
    forms: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if (self.fc1 is None) != (self.fc2 is None) or (self.fc1 is None and self.spatial_kernel is None):
            raise ValueError(
                "full attention needs a channel gate (fc1 and fc2), a spatial_kernel, or both; got neither"
            )

    def tensors(self) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """The weights, in the order of the arguments."""
        return self.kernel, self.fc1, self.fc2, self.spatial_kernel

    def sides(self) -> tuple[Pair, Pair, Pair]:
        """Stride, padding and dilation as pairs."""
        return pair(self.stride), pair(self.padding), pair(self.dilation)

    def options(self) -> tuple[int | Pair, int | Pair, int | Pair, int, float, Combination]:
        """The options, in the order of the arguments."""
        return self.stride, self.padding, self.dilation, self.spatial_dilation, self.scale, self.combination

    def by_input_pose(self) -> "FullAttentionWeights":
        """The same values, in memory by input pose h' first: the order in which the fast forms read them."""
        poses = (3, 4, 4, 3)  # the axis of h' in each weight
        laid = (
            None if weight is None else weight.movedim(axis, 0).contiguous().movedim(0, axis)
            for weight, axis in zip(self.tensors(), poses, strict=True)
        )
        return FullAttentionWeights(*laid, *self.options())  # type: ignore[arg-type, call-arg]

    def outputs(self, part: slice) -> "FullAttentionWeights":
        """The same for some of the output channels: they are independent of each other."""
        tensors = (None if weight is None else weight[part] for weight in self.tensors())
        return FullAttentionWeights(*tensors, *self.options())  # type: ignore[arg-type, call-arg]


@dataclass(frozen=True)
class ChannelGate:
    """Channel attention on a feature map, by its gate.

    Args:
        fc1, fc2: ``(R, C, |H|)`` and ``(C, R, |H|)``; for planar maps without the last axis.
        index: table ``(|H|, |H|)`` of their transforms; None for planar maps.
        statistics: over positions, any of ``"mean"`` and ``"max"``.
    """

    fc1: Tensor
    fc2: Tensor
    index: Tensor | None
    statistics: tuple[str, ...]

    def matrices(self) -> tuple[Tensor, Tensor]:
        """W1 ``(R·|H|, C·|H|)`` and W2 ``(C·|H|, R·|H|)``."""
        if self.index is None:
            return self.fc1, self.fc2
        first, second = (transform_kernel(w, self.index).flatten(2, 3).flatten(0, 1) for w in (self.fc1, self.fc2))
        return first, second


@dataclass(frozen=True)
class SpatialGate:
    """Spatial attention on a feature map, by its kernel.

    Args:
        weight: ``(1, S, |H|, k, k)``; for planar maps ``(1, S, k, k)``.
        index: table of its transforms, ``(|H|, |H|, k, k)`` or ``(|H|, k, k)``.
        scale: factor of the kernel, the quadrature weight q.
        statistics: over channels, any of ``"mean"`` and ``"max"``, S of them.
        dilation: of the kernel; the padding keeps the size.
    """

    weight: Tensor
    index: Tensor
    scale: float
    statistics: tuple[str, ...]
    dilation: tuple[int, int]

    @property
    def padding(self) -> tuple[int, int]:
        """Padding that keeps the size."""
        y, x = (d * (self.weight.shape[-1] // 2) for d in self.dilation)
        return y, x

    def kernel(self) -> Tensor:
        """ψ as a kernel of `conv2d`: ``(|H|, S·|H|, k, k)`` or ``(|H|, S, k, k)``."""
        return transform_kernel(self.scale * self.weight, self.index)[0].flatten(1, -3)


@dataclass(frozen=True)
class InputAttentionWeights:
    """Weights and options of the attention on a feature map; None for a part that is left out, one at most.

    Args:
        channel, spatial: the two parts, channel attention first.
        combination: how the suppression map α acts on x; the paper's is ``(1 - α) x``.
    """

    channel: ChannelGate | None
    spatial: SpatialGate | None
    combination: Combination = SUPPRESS

    def tensors(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The weights: both matrices, and the kernel."""
        fc1, fc2 = (None, None) if self.channel is None else (self.channel.fc1, self.channel.fc2)
        return fc1, fc2, None if self.spatial is None else self.spatial.weight

    def with_tensors(self, fc1: Any, fc2: Any, weight: Any) -> "InputAttentionWeights":
        """The same with other weights, in the order of `tensors`."""
        channel = self.channel and replace(self.channel, fc1=fc1, fc2=fc2)
        return InputAttentionWeights(channel, self.spatial and replace(self.spatial, weight=weight), self.combination)
