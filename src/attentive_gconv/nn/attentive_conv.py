r"""Attentive lifting and group convolution: full attention.

    out[b,o,h] = q·Σ_{c,h'} (1 - α_X α_C) f~[b,o,h,c,h'],  f~ = x[b,c,h'] ⋆ (L_h ψ)[o,c,h']

α depends on the input pose *and* on the output: its formulas are in
`attentive_gconv.functional.definition.attentive_convolution`.

Source: Romero, Bekkers, Tomczak, Hoogendoorn, "Attentive Group Equivariant Convolutional Networks", ICML 2020, §4-5,
https://arxiv.org/abs/2002.03830. Deviation: the group layer's quadrature weight is that of the plain group convolution
for every group, so that maps that suppress nothing give the plain convolution; for p4 it is the paper's 2π/|H|.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.functional import (
    COMBINATIONS,
    FullAttentionWeights,
    SuppressionMaps,
    attentive_conv2d,
    kernel_transform,
    suppression_map_tiles,
)
from attentive_gconv.functional.chunking import DEFAULT_BUDGET
from attentive_gconv.functional.geometry import Pair
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.nn.arguments import checked, instance_of
from attentive_gconv.nn.attention import GateWeights, check_parts, default_ratio
from attentive_gconv.nn.conv import GroupConv2d, GroupConvolution, LiftingConv2d
from attentive_gconv.nn.packed_weights import TransformedWeights, is_plain, packs_for_inference, uniform_kernel_


class FullChannelAttention(GateWeights):
    """Weights of α_C in full attention: a two-layer gate for each output channel and relative pose.

    ``weight_fc1 (O, R, C, |H|)`` and ``weight_fc2 (O, C, R, |H|)``, R = C // ratio; in a lifting layer without the last
    axis. Initial weights: Kaiming-uniform, a = √5.
    """

    def __init__(
        self,
        group: FiniteGroup,
        in_channels: int,
        out_channels: int,
        ratio: int,
        *,
        over_group: bool,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            group, in_channels, ratio, over_group=over_group, lead=(out_channels,), device=device, dtype=dtype
        )
        self.reset_parameters()

    def forward(self) -> tuple[Tensor, Tensor]:
        """The transforms of `gates`; the layer calls the module, so that hooks run."""
        return self.gates()

    def gates(self) -> tuple[Tensor, Tensor]:
        """All transforms: ``(O, |H|, R, C, |H'|)`` and ``(O, |H|, C, R, |H'|)``."""
        fc1, fc2 = (self._transforms(name) for name in ("weight_fc1", "weight_fc2"))
        return fc1, fc2

    def _transforms(self, name: str) -> Tensor:
        if self.over_group:
            return self.transformed(name)
        # a lifting layer has no input pose h', so that every output pose h has the same gate
        weight: Tensor = getattr(self, name)
        gates = weight[:, None, ..., None].expand(-1, self.group.order, -1, -1, 1)
        return gates.clone() if packs_for_inference() else gates  # no view of the parameter is cached


class FullSpatialAttention(TransformedWeights):
    """Weights of α_X in full attention: ``weight (O, 2, |H|, k, k)``; in a lifting layer ``(O, 2, k, k)``."""

    def __init__(
        self,
        group: FiniteGroup,
        out_channels: int,
        kernel_size: int,
        dilation: int,
        *,
        over_group: bool,
        wscale: float,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.group = group
        self.over_group = over_group
        self.dilation = dilation
        transform = kernel_transform(group, kernel_size, over_group=over_group)
        weight = torch.empty((out_channels, 2, *transform.entries), device=device, dtype=dtype)
        self.add_transformed_weight("weight", uniform_kernel_(weight, 2, kernel_size, wscale), transform)

    def forward(self) -> Tensor:
        """The transforms of `kernel`; the layer calls the module, so that hooks run."""
        return self.kernel()

    def kernel(self) -> Tensor:
        """All transforms: ``(O, |H|, 2, |H'|, k, k)``."""
        kernel = self.transformed("weight")
        return kernel if self.over_group else kernel.unsqueeze(3)


class _FullAttention(GroupConvolution):
    """Base class of lifting and group convolution with full attention."""

    offers_forms = False  # there is no separate plain convolution

    @checked()
    def __init__(
        self,
        group: str | FiniteGroup,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        bias: bool = False,
        *,
        channel: bool = True,
        spatial: bool = True,
        ratio: int | None = None,
        spatial_kernel_size: int = 7,
        spatial_dilation: int = 1,
        combination: str = "suppress",
        padding_mode: str = "zeros",
        wscale: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the convolution and its attention."""
        check_parts(channel, spatial, ratio, spatial_kernel_size=spatial_kernel_size, spatial_dilation=spatial_dilation)
        super().__init__(
            *(group, in_channels, out_channels, kernel_size, stride, padding, dilation, bias),
            padding_mode=padding_mode,
            wscale=wscale,
            device=device,
            dtype=dtype,
        )
        self.combination = combination
        self.method, self.recompute, self.memory_budget, self.backend = "streaming", False, DEFAULT_BUDGET, "auto"
        made: dict[str, Any] = {"over_group": self.over_group, "device": device, "dtype": dtype}
        ratio = default_ratio(in_channels, self.over_group) if ratio is None else ratio
        self.channel_attention = (
            FullChannelAttention(self.group, in_channels, out_channels, ratio, **made) if channel else None
        )
        self.spatial_attention = (
            FullSpatialAttention(self.group, out_channels, spatial_kernel_size, spatial_dilation, wscale=wscale, **made)
            if spatial
            else None
        )

    @checked()
    def configure(
        self,
        *,
        method: str | None = None,
        recompute: bool | None = None,
        memory_budget: int | None = None,
        backend: str | None = None,
    ) -> None:
        """Change how the layer computes; results stay the same up to rounding.

        Args:
            method, recompute, memory_budget, backend: see `attentive_gconv.functional.attentive_conv2d`; None keeps
                the present value.

        Raises:
            ValueError: on an unknown method or backend, or a budget below one byte.
        """
        if method is not None:
            self.method = method
        if recompute is not None:
            self.recompute = recompute
        if memory_budget is not None:
            self.memory_budget = memory_budget
        if backend is not None:
            self.backend = backend

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with attention; ``(B, O, |H|, Y', X')``."""
        out = attentive_conv2d(
            self.check_input(x),
            self._packed_weights(),
            method=self.method,
            recompute=self.recompute,
            memory_budget=self.memory_budget,
            backend=self.backend,
        )
        # under autocast the output has the low precision and the bias has not
        return out if self.bias is None else out + self.bias.to(out.dtype)[:, None, None, None]

    def suppression_maps(self, x: Tensor) -> SuppressionMaps:
        """The suppression maps α_C and α_X of an input. `attentive_gconv.attention_maps` gives the factor 1 - α.

        Args:
            x: the layer's input.

        Returns:
            ``channel (B, O, |H|, C, |H'|, 1, 1)`` and ``spatial (B, O, |H|, 1, |H'|, Y', X')``, None for attention that
            the layer does not have; |H'| is 1 in a lifting layer.

        Raises:
            ValueError: if x is no input of the layer.
        """
        rows: dict[int, list[SuppressionMaps]] = {}
        for samples, _, maps in self.suppression_map_tiles(x):
            rows.setdefault(samples.start, []).append(maps)

        def whole(kind: str) -> Tensor | None:
            if getattr(self, f"{kind}_attention") is None:
                return None
            return torch.cat([torch.cat([getattr(maps, kind) for maps in row], 1) for row in rows.values()])

        return SuppressionMaps(whole("channel"), whole("spatial"))

    def suppression_map_tiles(self, x: Tensor) -> Iterator[tuple[slice, slice, SuppressionMaps]]:
        """Iterate over the maps of `suppression_maps` in tiles: samples, output channels, their maps.

        A tile fits the layer's ``memory_budget``, unless one output channel of one sample alone exceeds it.
        """
        return suppression_map_tiles(self.check_input(x), self._packed_weights(), self.memory_budget)

    def _packed_weights(self) -> FullAttentionWeights:
        """Packed weights: all transforms, and the options of the convolution; cached in inference."""
        channel, spatial = self.channel_attention, self.spatial_attention
        weights: list[Tensor] = [self.weight]
        for attention in (channel, spatial):
            if attention is not None and not is_plain(attention, FullChannelAttention, FullSpatialAttention):
                self.clear_cache()
                return self._pack()  # a hook, or a derived class, may change the weights from call to call
            weights += [] if attention is None else attention._parameters.values()  # type: ignore[arg-type]
        dilation = 1 if spatial is None else spatial.dilation
        key = (self.stride, self.zero_padding, self.dilation, dilation, self.scale, self.combination)
        return self.packed(weights, key, self._pack)

    def _pack(self) -> FullAttentionWeights:
        channel, spatial = self.channel_attention, self.spatial_attention
        # without the quadrature weight, which is no factor of f~
        kernel = self.transformed("weight")
        fc1, fc2 = (None, None) if channel is None else channel()
        weights = FullAttentionWeights(
            kernel if self.over_group else kernel.unsqueeze(3),
            fc1,
            fc2,
            None if spatial is None else spatial(),
            stride=self.stride,
            padding=self.zero_padding,
            dilation=self.dilation,
            spatial_dilation=1 if spatial is None else spatial.dilation,
            scale=self.scale,
            combination=COMBINATIONS[self.combination],
        )
        return weights.for_inference() if packs_for_inference() else weights


class AttentiveLiftingConv2d(_FullAttention, LiftingConv2d):
    """Lifting convolution with full attention.

    Args:
        group, in_channels, out_channels, kernel_size, stride, padding, dilation, bias: as in `LiftingConv2d`.
        channel, spatial: whether there is channel attention, and spatial attention.
        ratio: the hidden layer of the channel attention has ``C // ratio`` channels; None is 1.
        spatial_kernel_size, spatial_dilation: of the spatial attention; the size is odd.
        combination: ``"suppress"`` (the paper: (1 - α) f~), ``"multiply"`` (α f~) or ``"amplify"`` ((1 + α) f~).
        padding_mode, wscale, device, dtype: as in `LiftingConv2d`; the spatial attention pads with zeros, and wscale
            also scales its initial kernels.

    How the layer computes (streaming or by the definition, with activation checkpointing, in which memory, on which
    backend) is set by its method ``configure``, for a whole model by `configure_attention`.

    Shape:
        ``(B, C, Y, X)`` -> ``(B, O, |H|, Y', X')``.

    Raises:
        ValueError: on arguments or inputs of wrong type, size or shape; the message says which and what to do.

    Source:
        Romero et al., ICML 2020, §4-5, https://arxiv.org/abs/2002.03830.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> layer = ag.nn.AttentiveLiftingConv2d("p4", 3, 8, kernel_size=3, padding=1)
        >>> layer(torch.randn(2, 3, 12, 12)).shape
        torch.Size([2, 8, 4, 12, 12])
    """


class AttentiveGroupConv2d(_FullAttention, GroupConv2d):
    """Group convolution with full attention.

    Args:
        group, in_channels, out_channels, kernel_size, stride, padding, dilation, bias: as in `GroupConv2d`.
        channel, spatial, ratio, spatial_kernel_size, spatial_dilation, combination, padding_mode, wscale, device,
        dtype: as in `AttentiveLiftingConv2d`; a ratio of None is 2, or 1 for a single channel.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, O, |H|, Y', X')``.

    Raises:
        ValueError: on arguments or inputs of wrong type, size or shape; the message says which and what to do.

    Source:
        Romero et al., ICML 2020, §4-5, https://arxiv.org/abs/2002.03830.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> layer = ag.nn.AttentiveGroupConv2d("p4", 8, 8, kernel_size=3, padding=1, spatial=False)
        >>> layer(torch.randn(2, 8, 4, 12, 12)).shape
        torch.Size([2, 8, 4, 12, 12])
    """


@checked(model=instance_of(nn.Module))
def configure_attention(
    model: nn.Module,
    *,
    method: str | None = None,
    recompute: bool | None = None,
    memory_budget: int | None = None,
    backend: str | None = None,
) -> int:
    """Change how every full-attention layer of a model computes; results stay the same up to rounding.

    Args:
        model: any module.
        method, recompute, memory_budget, backend: see `attentive_gconv.functional.attentive_conv2d`; None keeps the
            present value.

    Returns:
        The number of layers that were changed.

    Raises:
        ValueError: on an unknown method or backend, or a budget below one byte.

    Example:
        >>> import attentive_gconv as ag
        >>> ag.nn.configure_attention(ag.create_model("alpha_p4cnn"), recompute=True)
        7
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _FullAttention)]
    for layer in layers:
        layer.configure(method=method, recompute=recompute, memory_budget=memory_budget, backend=backend)
    return len(layers)
