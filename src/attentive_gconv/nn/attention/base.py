r"""Base classes of attention: maps, their order, and the rule by which they act.

    map          α = gate(logits of x)                                          `AttentionMap`
    parallel     α = gate(Σ_i logits_i of x)                                    `ParallelAttention`
    in order     u_0 = x,  u_i = α_i(u_{i-1})·u_{i-1};  out = s·x + a·u_n       `Attend`, (s, a) the combination

So "channel first" is a channel and a spatial map in this order, "spatial first" the other way round, and "parallel" a
single map. `Attend` is equivariant if its maps are: products, sums and entrywise gates commute with L_h.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from attentive_gconv.functional import ChannelGate, InputAttentionWeights, SpatialGate, input_attention
from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.gating import COMBINATIONS, GATES
from attentive_gconv.functional.operands import check_real
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.lookup import find
from attentive_gconv.nn.arguments import ORDERS, checked, maps_of
from attentive_gconv.nn.checks import refusal, shown
from attentive_gconv.nn.packed_weights import is_plain


class AttentionMap(nn.Module, ABC):
    """Base class of modules that compute an attention map α. Subclasses define `logits`; the gate is applied to them.

    Attributes:
        gate: a name of `attentive_gconv.functional.gating.GATES`, set by `use_gate`.
    """

    gate = "sigmoid"

    def use_gate(self, name: str) -> None:
        """Choose the gate by its name.

        Raises:
            ValueError: if it is unknown; the message offers the nearest.
        """
        find("gate", name, GATES)
        self.gate = name

    def fused_weights(self, x: Tensor) -> ChannelGate | SpatialGate | None:
        """Weights for `attentive_gconv.functional.input_attention`, if that computes this map of x; else None.

        It computes the paper's maps: statistics by name, no bias, no normalisation, the sigmoid. `Attend` then uses the
        fused operation for all maps together and does not call this module.
        """
        return None

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Output of the gating network before the gate; it broadcasts against the feature map."""

    def forward(self, x: Tensor, *, gated: bool = True) -> Tensor:
        """The map α; with ``gated=False`` its logits."""
        logits = self.logits(x)
        return GATES[self.gate](logits) if gated else logits


class ParallelAttention(AttentionMap):
    """Several maps of the same input as one: their logits are added, and one gate acts on the sum.

    Args:
        maps: the maps by name; of each only the logits are used, not its gate.
        gate: a name of `attentive_gconv.functional.gating.GATES`.

    Shape:
        as the maps' logits broadcast: ``(B, C, |H|, 1, 1)`` and ``(B, 1, |H|, Y, X)`` -> ``(B, C, |H|, Y, X)``.

    Raises:
        ValueError: if there are no maps, or on an unknown gate.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> both = ag.nn.ParallelAttention(
        ...     {"channel": ag.nn.ChannelAttention("p4", 8), "spatial": ag.nn.SpatialAttention("p4")}
        ... )
        >>> both(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    @checked(maps=maps_of(AttentionMap))
    def __init__(self, maps: Mapping[str, AttentionMap], gate: str = "sigmoid") -> None:
        super().__init__()
        if not maps:
            raise ValueError("`maps` is empty: give at least one attention map")
        self.maps = nn.ModuleDict()
        for name, attention in maps.items():
            _add(self.maps, name, attention)
        self.use_gate(gate)

    def logits(self, x: Tensor) -> Tensor:
        """The sum of the maps' logits."""
        first, *others = (attention(x, gated=False) for attention in self.maps.values())
        total: Tensor = sum(others, first)
        return total


class Attend(nn.Module):
    """Attention on a feature map: maps that act one after the other, and the rule by which their product acts.

    Args:
        maps: the maps by name, in their order; they become submodules of these names. None stands for a map that is
            left out.
        combination: ``"multiply"`` (α·x), ``"amplify"`` (x + α·x) or ``"suppress"`` (x - α·x), α the product of the
            maps, each computed on x as attended to by the maps before it.

    Shape:
        ``(B, C, |H|, Y, X)`` or ``(B, C, Y, X)``, as the maps take it -> the same.

    Raises:
        ValueError: if there are no maps, or on an unknown combination; when called, if a map has another number of axes
            than x.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> spatial_first = {"where": ag.nn.SpatialAttention("p4"), "what": ag.nn.ChannelAttention("p4", 8)}
        >>> ag.nn.Attend(spatial_first, "amplify")(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    @checked(maps=maps_of(nn.Module, type(None)))
    def __init__(self, maps: Mapping[str, nn.Module | None], combination: str = "multiply") -> None:
        super().__init__()
        self.combination = combination
        self.order = tuple(name for name, attention in maps.items() if attention is not None)
        if not self.order:
            raise ValueError(f"`maps` (={shown(maps)}) holds no attention map: give at least one")
        for name, attention in maps.items():
            _add(self, name, attention)

    def suppression_maps(self, x: Tensor) -> dict[str, Tensor]:
        """Each map α_i by its name, computed on x as attended to by the maps before it.

        `attentive_gconv.attention_maps` gives what a module keeps: 1 - α where it suppresses.
        """
        attended, maps = x, {}
        for name in self.order:
            maps[name] = self._map(name, attended)
            attended = maps[name] * attended
        return maps

    def suppression_map(self, x: Tensor) -> Tensor:
        """The product α of the maps, with which ``forward`` is ``s·x + a·α·x``; it broadcasts against x."""
        product = x.new_ones(())
        for alpha in self.suppression_maps(x).values():
            product = alpha * product
        return product

    def forward(self, x: Tensor) -> Tensor:
        """Compute the maps and combine them with x; the shape of x."""
        weights = self._fused_weights(x) if dispatch.is_compiled_on_cpu(x) else None
        if weights is not None:
            return input_attention(x, weights)
        attended = x
        for name in self.order:
            attended = self._map(name, attended) * attended
        return COMBINATIONS[self.combination].mix(x, attended)

    def _map(self, name: str, x: Tensor) -> Tensor:
        """One of the maps, with as many axes as x: fewer would broadcast its batch axis against channels or poses."""
        alpha: Tensor = getattr(self, name)(x)
        if alpha.dim() != x.dim():
            raise ValueError(
                f"the map {name!r} has the shape {tuple(alpha.shape)} for an input of the shape {tuple(x.shape)}: it "
                "must have as many axes; keep those of size one (keepdim=True)"
            )
        return alpha

    def _fused_weights(self, x: Tensor) -> InputAttentionWeights | None:
        """Weights of the fused operation, if it computes all maps in their order; None if they have to be called."""
        channel = spatial = None
        for name in self.order:
            attention = getattr(self, name)
            plain = isinstance(attention, AttentionMap) and is_plain(attention, type(attention))
            gate = attention.fused_weights(x) if plain else None
            if isinstance(gate, ChannelGate) and channel is None and spatial is None:
                channel = gate
            elif isinstance(gate, SpatialGate) and spatial is None:
                spatial = gate
            else:
                return None
        return InputAttentionWeights(channel, spatial, COMBINATIONS[self.combination])

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        return f"combination={self.combination!r}"


def _add(owner: nn.Module, name: str, attention: nn.Module | None) -> None:
    """Register a map under its name.

    Raises:
        ValueError: if a submodule cannot have that name.
    """
    try:
        owner.register_module(name, attention)
    except KeyError as error:  # empty, with a dot, or taken
        raise refusal("maps", name, f"has a name that no submodule can have: {error.args[0]}") from None


def in_order(channel: AttentionMap | None, spatial: AttentionMap | None, order: str) -> dict[str, AttentionMap | None]:
    """A channel and a spatial map as `Attend` takes them, in one of `ORDERS`.

    Raises:
        ValueError: if the order is unknown, or not the default and there are not two maps.
    """
    find("order", order, dict.fromkeys(ORDERS))
    if order != "channel_first" and (channel is None or spatial is None):
        raise ValueError(f"`order` (={order!r}) needs channel and spatial attention; leave it out for a single one")
    if order == "parallel":
        assert channel is not None
        assert spatial is not None
        maps: dict[str, AttentionMap] = {"channel_attention": channel, "spatial_attention": spatial}
        return {"parallel_attention": ParallelAttention(maps)}
    named = [("channel_attention", channel), ("spatial_attention", spatial)]
    return dict(named if order == "channel_first" else reversed(named))


def check_map(owner: nn.Module, group: FiniteGroup, channels: int | None, over_group: bool, x: Tensor) -> None:
    """Raise ValueError unless x is a feature map as the owner takes it; None allows any number of channels."""
    check_real(type(owner).__name__, x)
    shape, poses = x.shape, (group.order,) if over_group else ()
    if len(shape) != 4 + len(poses) or shape[2:-2] != poses or channels not in (None, shape[1]):
        wanted = ", ".join(map(str, ("B", channels or "C", *poses, "Y", "X")))
        kind = "a map on the group" if over_group else "a planar map"
        raise ValueError(
            f"{type(owner).__name__} on {group.name!r} takes {kind} ({wanted}), got shape {tuple(x.shape)}"
        )
