r"""Channel attention: which channels matter, and in which pose.

    ℓ = Σ_s W2*relu(N1(W1*s + b1)) + b2,   then N2;   α_C = σ(ℓ)     s: statistics of x over positions, [B, C, |H|]

    (W*s)[o,h] = Σ_{c,h'} W[o,c,h⁻¹h'] s[c,h']      on a planar map: (W*s)[o] = Σ_c W[o,c] s[c]

The biases b1 [R] and b2 [C] are shared over the group, as is each channel's normalisation N: a value of its own for
each h would single out a pose. The paper's α_C has neither bias nor normalisation, and two statistics.

Sources: Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, https://arxiv.org/abs/1709.01507 (mean); Woo et al.,
"CBAM", ECCV 2018, https://arxiv.org/abs/1807.06521 (mean and maximum through one shared network); Park et al., "BAM",
BMVC 2018, https://arxiv.org/abs/1807.06514 (normalisation); the group form is Romero et al., ICML 2020,
https://arxiv.org/abs/2002.03830.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.functional import ChannelGate, kernel_transform, position_statistics
from attentive_gconv.functional.gating import STATISTICS, channel_logits
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.nn.arguments import checked, one_of
from attentive_gconv.nn.attention.base import AttentionMap, check_map
from attentive_gconv.nn.checks import hidden_channels, some_statistics
from attentive_gconv.nn.norm import PooledBatchNorm
from attentive_gconv.nn.packed_weights import TransformedWeights

NORMS = ("none", "hidden", "output")


class GateWeights(TransformedWeights):
    """Weights of the two-layer gating network of channel attention, and their transforms.

    ``weight_fc1 (*lead, R, C, |H|)`` and ``weight_fc2 (*lead, C, R, |H|)``, R = C // ratio; without the last axis for
    planar maps, which have no group axis. Subclasses call `reset_parameters` in their constructor.
    """

    weight_fc1: nn.Parameter
    weight_fc2: nn.Parameter

    def __init__(
        self,
        group: FiniteGroup,
        channels: int,
        ratio: int,
        *,
        over_group: bool,
        lead: tuple[int, ...] = (),
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.group = group
        self.channels = channels
        self.over_group = over_group
        self.hidden = hidden_channels(channels, ratio)
        for name, shape in (("weight_fc1", (self.hidden, channels)), ("weight_fc2", (channels, self.hidden))):
            poses = (group.order,) if over_group else ()
            weight = torch.empty((*lead, *shape, *poses), device=device, dtype=dtype)
            if over_group:
                self.add_transformed_weight(name, weight, kernel_transform(group, over_group=True))
            else:
                self.register_parameter(name, nn.Parameter(weight))

    def reset_parameters(self) -> None:
        """Draw new weights: Kaiming-uniform with a = √5."""
        for weight in (self.weight_fc1, self.weight_fc2):
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))


class ChannelAttention(AttentionMap, GateWeights):
    """Channel attention on a feature map: one value for each channel and group element.

    Args:
        group: the group of the map.
        channels: C.
        ratio: the hidden layer has ``C // ratio`` channels.
        over_group: whether the input is a map on the group or a planar map.
        statistics: over positions, ``"mean"``, ``"max"`` or both.
        bias: whether both layers have one, shared over the group, starting at zero. Each statistic goes through the
            whole network, so that the second layer's bias is added once for each.
        norm: batch normalisation, one mean and variance a channel: ``"none"``, ``"hidden"`` (after the first layer)
            or ``"output"`` (of the logits). In training it needs two values a channel: a planar map, or one on the
            trivial group, has one for each image of the batch.
        gate: a name of `attentive_gconv.functional.gating.GATES`.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, C, |H|, 1, 1)``; planar ``(B, C, Y, X)`` -> ``(B, C, 1, 1)``. The weights are
        ``weight_fc1 (R, C, |H|)`` and ``weight_fc2 (C, R, |H|)``, R = C // ratio; planar without the last axis.

    Raises:
        ValueError: if the ratio exceeds the channels, on unknown names, or inputs of another shape.

    Source:
        Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830; CBAM's channel gate made equivariant.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.ChannelAttention("p4", channels=8)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 1, 1])
    """

    @checked(statistics=some_statistics, norm=one_of(*NORMS))
    def __init__(
        self,
        group: str | FiniteGroup,
        channels: int,
        ratio: int = 2,
        *,
        over_group: bool = True,
        statistics: tuple[str, ...] = STATISTICS,
        bias: bool = False,
        norm: str = "none",
        gate: str = "sigmoid",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(find_group(group), channels, ratio, over_group=over_group, **made)
        self.statistics = statistics
        self.use_gate(gate)
        self.bias_fc1 = nn.Parameter(torch.empty(self.hidden, **made)) if bias else None
        self.bias_fc2 = nn.Parameter(torch.empty(channels, **made)) if bias else None
        self.hidden_norm = PooledBatchNorm(self.hidden, **made) if norm == "hidden" else None
        self.output_norm = PooledBatchNorm(channels, **made) if norm == "output" else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: Kaiming-uniform with a = √5; the biases start at zero."""
        super().reset_parameters()
        for bias in (self.bias_fc1, self.bias_fc2):
            if bias is not None:
                nn.init.zeros_(bias)

    def _matrices(self) -> tuple[Tensor, Tensor]:
        """Both 1x1 group convolutions as matrices: rows (output channel, h), columns (input channel, h')."""
        if not self.over_group:
            return self.weight_fc1, self.weight_fc2

        def pack() -> tuple[Tensor, Tensor]:
            fc1, fc2 = (self.transformed(name).flatten(2, 3).flatten(0, 1) for name in ("weight_fc1", "weight_fc2"))
            return fc1, fc2

        return self.packed((self.weight_fc1, self.weight_fc2), None, pack)

    def _bias(self, bias: Tensor | None, times: int = 1) -> Tensor | None:
        if bias is None:
            return None
        return times * (bias.repeat_interleave(self.group.order) if self.over_group else bias)

    def _normalised(self, norm: nn.BatchNorm1d | None, flat: Tensor) -> Tensor:
        """Batch normalisation of a layer's output, with its group axis in place."""
        if norm is None:
            return flat
        values = flat.unflatten(1, (-1, self.group.order)) if self.over_group else flat
        normalised: Tensor = norm(values)
        return normalised.flatten(1)

    def fused_weights(self, x: Tensor) -> ChannelGate | None:
        """Weights and statistics; None with a bias, a normalisation or another gate."""
        has_bias = self.bias_fc1 is not None or self.bias_fc2 is not None
        has_norm = self.hidden_norm is not None or self.output_norm is not None
        # a derived class may compute something else
        if type(self) is not ChannelAttention or self.gate != "sigmoid" or has_bias or has_norm:
            return None
        check_map(self, self.group, self.channels, self.over_group, x)
        index = self.index("weight_fc1") if self.over_group else None
        return ChannelGate(self.weight_fc1, self.weight_fc2, index, self.statistics)

    def logits(self, x: Tensor) -> Tensor:
        """The logits, ``(B, C, |H|, 1, 1)`` or ``(B, C, 1, 1)``."""
        check_map(self, self.group, self.channels, self.over_group, x)
        fc1, fc2 = self._matrices()
        bias = self._bias(self.bias_fc1)
        logits = channel_logits(
            position_statistics(x, self.statistics),
            lambda s: self._normalised(self.hidden_norm, F.linear(s.flatten(1), fc1, bias)),
            lambda hidden: F.linear(hidden, fc2, self._bias(self.bias_fc2, len(self.statistics))),
        )
        return self._normalised(self.output_norm, logits).view(*x.shape[:-2], 1, 1)

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        return (
            f"{self.group.name!r}, {self.channels}, hidden={self.hidden}, over_group={self.over_group}, "
            f"statistics={self.statistics}, gate={self.gate!r}"
        )
