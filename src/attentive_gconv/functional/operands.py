"""Operands: the weights and the options of an attention, in one object.

A layer packs them and hands them to one operation; the definition and every fast form of the operation take the same
object. Full attention takes transformed weights, which a layer caches in inference; input attention takes the learned
weights and the tables of their transforms. Shapes are checked here for every form: compiled kernels check no bounds.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from attentive_gconv.functional.filters import transform_kernel
from attentive_gconv.functional.gating import STATISTICS, SUPPRESS, Combination
from attentive_gconv.functional.geometry import Pair, output_size, pair


def check_real(owner: str, x: Tensor) -> None:
    """Raise ValueError unless x holds real floating-point numbers: a maximum needs an order.

    Args:
        owner: what takes x, for the message.
        x: any tensor.

    Example:
        >>> import torch
        >>> check_real("attention", torch.ones(2, dtype=torch.int64))
        Traceback (most recent call last):
        ...
        ValueError: attention takes real floating-point input, got dtype torch.int64; convert it, as with x.float()
    """
    if not x.is_floating_point():
        remedy = "give real and imaginary parts as channels" if x.is_complex() else "convert it, as with x.float()"
        raise ValueError(f"{owner} takes real floating-point input, got dtype {x.dtype}; {remedy}")


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
        forms: cache of what fast forms derive from the weights alone; None where the weights may still change.

    Raises:
        ValueError: without any attention, with half a channel gate, on shapes that do not fit each other, or on options
            out of range.

    Example:
        >>> import torch
        >>> kernel, psi = torch.randn(3, 4, 2, 4, 3, 3), torch.randn(3, 4, 2, 4, 7, 7)
        >>> FullAttentionWeights(kernel, spatial_kernel=psi, padding=1).sides()
        ((1, 1), (1, 1), (1, 1))
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
    forms: dict[Hashable, Any] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        kernel, fc1, fc2, psi = self.tensors()
        if (fc1 is None) != (fc2 is None):
            given, missing = ("fc1", "fc2") if fc2 is None else ("fc2", "fc1")
            raise ValueError(f"`{given}` is given without `{missing}`: a channel gate needs both, or leave out both")
        if fc1 is None and psi is None:
            raise ValueError(
                "full attention needs a channel gate (fc1 and fc2), a spatial_kernel, or both; got neither"
            )
        if kernel.dim() != 6 or kernel.shape[-1] != kernel.shape[-2] or kernel.numel() == 0:
            raise _shape_error("kernel", kernel, "(O, |H|, C, |H'|, k, k)")
        o, h, c, g = kernel.shape[:4]
        if fc1 is not None and (fc1.dim() != 5 or fc1.numel() == 0 or fc1.shape != (o, h, fc1.shape[2], c, g)):
            raise _shape_error("fc1", fc1, f"(O, |H|, R, C, |H'|) = ({o}, {h}, R, {c}, {g}), as the kernel")
        if fc1 is not None and fc2 is not None and fc2.shape != (o, h, c, fc1.shape[2], g):
            raise _shape_error("fc2", fc2, f"(O, |H|, C, R, |H'|) = {(o, h, c, fc1.shape[2], g)}, as kernel and fc1")
        if psi is not None and (psi.shape[:-1] != (o, h, 2, g, psi.shape[-1]) or psi.shape[-1] % 2 == 0):
            raise _shape_error("spatial_kernel", psi, f"(O, |H|, 2, |H'|, a, a) = ({o}, {h}, 2, {g}, a, a), a odd")
        (sy, sx), (py, px), (dy, dx) = self.sides()
        if min(sy, sx, dy, dx, self.spatial_dilation) < 1 or min(py, px) < 0:
            raise ValueError(
                f"`stride` (={self.stride}), `dilation` (={self.dilation}) and `spatial_dilation` "
                f"(={self.spatial_dilation}) must be at least 1, and `padding` (={self.padding}) at least 0"
            )

    def check(self, owner: str, x: Tensor) -> None:
        """Raise ValueError unless the operation ``owner`` can take x, ``(B, C, |H'|, Y, X)``, with these weights."""
        check_real(owner, x)
        _, _, channels, depth, side, _ = self.kernel.shape
        if x.dim() != 5 or x.shape[1:3] != (channels, depth):
            raise _shape_error("x", x, f"(B, C, |H'|, Y, X) = (B, {channels}, {depth}, Y, X), as the kernel")
        if min(output_size((x.shape[-2], x.shape[-1]), (side, side), *self.sides())) < 1:
            raise ValueError(
                f"`x` {tuple(x.shape)} with padding (={self.padding}) is smaller than the kernel {side} x {side} with "
                f"dilation (={self.dilation}); raise the padding or give larger maps"
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

    def for_inference(self) -> "FullAttentionWeights":
        """The weights with a cache for fast forms, and in the memory order that these read: input pose h' first.

        Nothing may change the weights afterwards.
        """
        axes_of_pose = (3, 4, 4, 3)
        ordered = (
            None if weight is None else weight.movedim(axis, 0).contiguous().movedim(0, axis)
            for weight, axis in zip(self.tensors(), axes_of_pose, strict=True)
        )
        weights = FullAttentionWeights(*ordered, *self.options())  # type: ignore[arg-type, call-arg]
        weights.forms = {}
        return weights

    def outputs(self, chunk: slice) -> "FullAttentionWeights":
        """The weights of a chunk of the output channels, which are independent of each other."""
        tensors = (None if weight is None else weight[chunk] for weight in self.tensors())
        return FullAttentionWeights(*tensors, *self.options())  # type: ignore[arg-type, call-arg]


def _shape_error(name: str, tensor: Tensor, wanted: str) -> ValueError:
    return ValueError(f"`{name}` of shape {tuple(tensor.shape)} must be {wanted}")


def _check_statistics(kinds: tuple[str, ...]) -> None:
    if not (kinds == STATISTICS or kinds == STATISTICS[::-1] or (len(kinds) == 1 and kinds[0] in STATISTICS)):
        raise ValueError(
            f"`statistics` (={kinds!r}) must be a tuple of different ones among {STATISTICS}, at least one"
        )


@dataclass(frozen=True)
class ChannelGate:
    """Channel attention on a feature map: the weights of its gating network.

    Args:
        fc1, fc2: ``(R, C, |H|)`` and ``(C, R, |H|)``; for planar maps without the last axis.
        index: table ``(|H|, |H|)`` of their transforms, see `kernel_index`; None for planar maps.
        statistics: over positions, any of ``"mean"`` and ``"max"``.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> from attentive_gconv.functional import kernel_index
        >>> index = kernel_index(ag.group("p4"), over_group=True)
        >>> gate = ChannelGate(torch.randn(1, 2, 4), torch.randn(2, 1, 4), index, ("mean", "max"))
        >>> [tuple(matrix.shape) for matrix in gate.matrices()]
        [(4, 8), (8, 4)]
    """

    fc1: Tensor
    fc2: Tensor
    index: Tensor | None
    statistics: tuple[str, ...]

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless the gate fits a map of this shape."""
        _check_statistics(self.statistics)
        channels, poses = shape[1], shape[2:-2]
        hidden = self.fc1.shape[0]
        if hidden < 1 or self.fc1.shape != (hidden, channels, *poses):
            raise _shape_error("fc1", self.fc1, f"(R, C, |H|) = (R, {', '.join(map(str, (channels, *poses)))}), as x")
        if self.fc2.shape != (channels, hidden, *poses):
            raise _shape_error("fc2", self.fc2, f"(C, R, |H|) = {(channels, hidden, *poses)}, as x and fc1")
        if (() if self.index is None else self.index.shape) != 2 * poses:
            found = "None" if self.index is None else f"shape {tuple(self.index.shape)}"
            raise ValueError(
                f"`index` ({found}) of the channel gate must be a table (|H|, |H|) = {2 * poses}; None if x is planar"
            )

    def matrices(self) -> tuple[Tensor, Tensor]:
        """W1 ``(R·|H|, C·|H|)`` and W2 ``(C·|H|, R·|H|)``."""
        if self.index is None:
            return self.fc1, self.fc2
        first, second = (transform_kernel(w, self.index).flatten(2, 3).flatten(0, 1) for w in (self.fc1, self.fc2))
        return first, second


@dataclass(frozen=True)
class SpatialGate:
    """Spatial attention on a feature map: its kernel.

    Args:
        weight: ``(1, S, |H|, k, k)`` with k odd; for planar maps ``(1, S, k, k)``. Where elements of the group
            interpolate, the turned samples of `sample_kernel`, with ``R·k`` for the first k.
        index: table of its transforms, ``(|H|, |H|, k, k)`` or ``(|H|, k, k)``, see `kernel_index`.
        scale: factor of the kernel, the quadrature weight q.
        statistics: over channels, any of ``"mean"`` and ``"max"``, S of them.
        dilation: of the kernel, (Y, X); the padding keeps the size.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> from attentive_gconv.functional import kernel_index
        >>> index = kernel_index(ag.group("p4"), 7, over_group=True)
        >>> gate = SpatialGate(torch.randn(1, 2, 4, 7, 7), index, 1.0, ("mean", "max"), (1, 1))
        >>> gate.kernel().shape
        torch.Size([4, 8, 7, 7])
    """

    weight: Tensor
    index: Tensor
    scale: float
    statistics: tuple[str, ...]
    dilation: tuple[int, int]

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless the kernel fits a map of this shape."""
        _check_statistics(self.statistics)
        poses, (*lead, height, side) = shape[2:-2], self.weight.shape
        if lead != [1, len(self.statistics), *poses] or side % 2 == 0 or height % side:
            wanted = ", ".join(map(str, (1, len(self.statistics), *poses)))
            raise _shape_error("weight", self.weight, f"(1, S, |H|, k, k) = ({wanted}, k, k) with k odd, as x")
        order, *entries = self.index.shape
        if entries != [*poses, side, side] or (poses and order != poses[0]):
            raise _shape_error(
                "index", self.index, f"(|H|, {', '.join(map(str, (*poses, side, side)))}), as the weight"
            )
        if min(self.dilation) < 1:
            raise ValueError(f"`dilation` (={self.dilation}) of the spatial gate must be at least 1")

    @property
    def padding(self) -> tuple[int, int]:
        """Padding that keeps the size."""
        y, x = (d * (self.weight.shape[-1] // 2) for d in self.dilation)
        return y, x

    def kernel(self) -> Tensor:
        """All transforms of the weight as one kernel of `conv2d`: ``(|H|, S·|H|, k, k)`` or ``(|H|, S, k, k)``."""
        return transform_kernel(self.scale * self.weight, self.index)[0].flatten(1, -3)


@dataclass(frozen=True)
class InputAttentionWeights:
    """Weights and options of the attention on a feature map: channel attention, then spatial attention.

    Args:
        channel, spatial: the two gates; None for one that is left out.
        combination: how the suppression map α acts on x; the paper's is ``(1 - α) x``.
    """

    channel: ChannelGate | None
    spatial: SpatialGate | None
    combination: Combination = SUPPRESS

    def check(self, owner: str, x: Tensor) -> None:
        """Raise ValueError unless the operation ``owner`` can take x, ``(B, C, |H|, Y, X)`` or planar, with these."""
        check_real(owner, x)
        if x.dim() not in (4, 5):
            raise _shape_error("x", x, "(B, C, |H|, Y, X) or (B, C, Y, X)")
        if self.channel is None and self.spatial is None:
            raise ValueError("input attention needs a channel gate, a spatial gate, or both; got neither")
        shape = tuple(x.shape)
        for gate in (self.channel, self.spatial):
            if gate is not None:
                gate.check(shape)

    def tensors(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The weights: fc1, fc2 and the spatial kernel."""
        fc1, fc2 = (None, None) if self.channel is None else (self.channel.fc1, self.channel.fc2)
        return fc1, fc2, None if self.spatial is None else self.spatial.weight

    def with_tensors(self, fc1: Any, fc2: Any, weight: Any) -> "InputAttentionWeights":
        """A copy with other weights, in the order of `tensors`."""
        channel = self.channel and replace(self.channel, fc1=fc1, fc2=fc2)
        return InputAttentionWeights(channel, self.spatial and replace(self.spatial, weight=weight), self.combination)
