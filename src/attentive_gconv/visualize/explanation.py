r"""Explanation of a network: the product of its layers' attention maps, by pose.

    K_l (B, |H|, Y_l, X_l)   what module l keeps, reduced over channels: `attentive_gconv.visualize.reduction`
    K (B, |H|, Y, X)         Π_l resize(K_l), each map resized to the input's size
    sum                      Σ_h K[h]
    dominant pose            argmax_h K[h], at every position; and argmax_h Σ_yx K[h]

The resize is bilinear with ``align_corners=False``: samples lie symmetrically on the map, so that it commutes with
every element of the group, as all other steps do. The sum transforms as a planar map, K as a map on the group.

For networks without attention, activations are shown instead: A_l = mean_c |x_l| of the inputs of all convolutions but
the first, divided by the maximum over h, y and x; their product is high where all layers respond.

Source: Romero et al., ICML 2020, §6, https://arxiv.org/abs/2002.03830 (product of all layers' maps); the group axis is
summed there and kept here. Limitation: in networks without padding, maps cover less than the input, and the resize
stretches them; see docs/guides/explain.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.lookup import find
from attentive_gconv.nn import Attend
from attentive_gconv.nn.conv import GroupConvolution
from attentive_gconv.visualize.collect import attention_modules, collect_attention, unused

KINDS = {
    "auto": "attention where there is any, else activation",
    "attention": "what the attention modules keep",
    "activation": "how strongly the inputs of the convolutions respond",
}


@dataclass(frozen=True)
class Explanation:
    """Result of `explain` for an image; for a batch, every shape has a leading B.

    Attributes:
        group: the group, whose elements are the poses.
        kind: ``"attention"`` or ``"activation"``.
        layers: map of each module at its own size, ``(|H|, Y_l, X_l)``, or ``(1, Y_l, X_l)`` without poses.
        poses: product of all maps, ``(|H|, Y, X)``.
        output: the network's output.
    """

    group: FiniteGroup
    kind: str
    layers: dict[str, Tensor]
    poses: Tensor
    output: Any

    @property
    def sum(self) -> Tensor:
        """The product, summed over the poses: ``(Y, X)``."""
        return self.poses.sum(-3)

    @property
    def pose_at(self) -> Tensor:
        """The dominant pose at every position, ``(Y, X)`` of int64."""
        return self.poses.argmax(-3)

    @property
    def strengths(self) -> Tensor:
        """Each pose's share of the sum, ``(|H|,)``; they add up to one."""
        total = self.poses.sum((-2, -1))
        return total / total.sum(-1, keepdim=True)

    @property
    def dominant_pose(self) -> Tensor:
        """The pose with the largest share, ``()`` of int64."""
        return self.strengths.argmax(-1)


def explain(
    model: nn.Module,
    image: Tensor,
    *,
    kind: str = "auto",
    reduction: str = "mean",
    pose: str = "input",
    group: str | FiniteGroup | None = None,
) -> Explanation:
    """Explain where a network attends in an image, and in which pose: the maps of all layers and their product.

    The model runs once, in eval mode, and is left in the mode it was in.

    Args:
        model: any module with attention, or with convolutions.
        image: ``(C, Y, X)``, or a batch ``(B, C, Y, X)``.
        kind: ``"attention"``, ``"activation"``, or ``"auto"``: attention if the model has any.
        reduction: ``"mean"`` or ``"max"`` over channels (and output channels, in full attention).
        pose: which of the two poses of full attention remains, see `attentive_gconv.attention_maps`.
        group: the group; by default that of the model's layers. Maps of layers on another group are averaged over
            their poses in the product.

    Returns:
        The explanation, with detached maps of the model's dtype.

    Raises:
        ValueError: if the image has other axes, a name is unknown, the model has no maps of that kind, or its layers
            have several groups and none is given.

    Source:
        Romero et al., ICML 2020, §6, https://arxiv.org/abs/2002.03830.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> explanation = ag.explain(ag.create_model("alpha_f_p4cnn"), torch.randn(1, 28, 28))
        >>> explanation.poses.shape, explanation.sum.shape, explanation.group.element_name(explanation.dominant_pose)
        (torch.Size([4, 28, 28]), torch.Size([28, 28]), '...°')
    """
    find("kind", kind, KINDS)
    find("reduction", reduction, {"mean": 0, "max": 0})
    if image.dim() not in (3, 4):
        raise ValueError(f"`image` must be (C, Y, X), or a batch (B, C, Y, X); got shape {tuple(image.shape)}")
    attends = bool(attention_modules(model))
    if kind == "attention" and not attends:
        raise ValueError(f"`kind` (='attention'): {type(model).__name__} has no attention; take kind='activation'")
    kind = ("attention" if attends else "activation") if kind == "auto" else kind
    chosen = find_group(group) if group is not None else group_of(model)
    images = image if image.dim() == 4 else image[None]
    output, maps = _run_in_eval_mode(model, images, kind, reduction, pose)
    if not maps:
        raise ValueError(f"`model` ({type(model).__name__}): the forward pass reached no module with {kind} maps")
    layers = {name: _on_group(value) for name, value in maps.items()}
    poses = aggregate(list(layers.values()), images.shape[-2:], chosen.order)
    if image.dim() == 3:
        layers, poses = {name: value[0] for name, value in layers.items()}, poses[0]
        output = output[0] if isinstance(output, Tensor) else output
    return Explanation(chosen, kind, layers, poses, output)


def _run_in_eval_mode(
    model: nn.Module, images: Tensor, kind: str, reduction: str, pose: str
) -> tuple[Any, dict[str, Tensor]]:
    """The model's output and maps in eval mode; the mode is restored afterwards."""
    modes = {part: part.training for part in model.modules()}
    collecting = (
        collect_attention(model, parts=False, reduction=reduction, pose=pose)
        if kind == "attention"
        else collect_activations(model, reduction=reduction)
    )
    try:
        model.eval()
        with torch.no_grad(), collecting as maps:
            return model(images), maps
    finally:
        for part, training in modes.items():
            part.training = training


def aggregate(maps: list[Tensor], size: tuple[int, ...], order: int) -> Tensor:
    """Multiply maps, each resized to the input's size.

    Args:
        maps: each ``(B, |H|, Y_l, X_l)``, or ``(B, 1, Y_l, X_l)`` without poses; those with another number of poses
            are averaged over them.
        size: (Y, X).
        order: |H|.

    Returns:
        ``(B, |H|, Y, X)``.

    Example:
        >>> aggregate([torch.full((1, 4, 2, 2), 0.5), torch.full((1, 1, 3, 3), 0.5)], (6, 6), 4).unique()
        tensor([0.2500])
    """
    product = maps[0].new_ones((maps[0].shape[0], order, *size))  # len() would fix the batch of exported graphs
    for value in maps:
        of_group = value.shape[1] in (1, order)
        product = product * resize(value if of_group else value.mean(1, keepdim=True), size)
    return product


def resize(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize maps bilinearly with symmetric samples: exactly equivariant.

    Args:
        maps: ``(B, |H|, Y_l, X_l)``.
        size: (Y, X).
    """
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def group_of(model: nn.Module) -> FiniteGroup:
    """The group of a model's layers; the trivial group if none has one.

    Raises:
        ValueError: if the layers have several groups.
    """
    candidates: list[Any] = [getattr(part, "group", None) for part in model.modules()]
    groups: set[FiniteGroup] = {group for group in candidates if isinstance(group, FiniteGroup)}
    if len(groups) > 1:
        names = ", ".join(sorted(group.name for group in groups))
        raise ValueError(f"`group` must be given: the layers of the model have several groups, {names}")
    return groups.pop() if groups else find_group("z2")


@contextmanager
def collect_activations(model: nn.Module, *, reduction: str = "mean") -> Iterator[dict[str, Tensor]]:
    """Collect the activations at the inputs of all convolutions but the first, by the convolutions' names.

    Yields:
        A dict that is filled while the model runs: ``(B, 1, |H|, Y, X)``, or ``(B, 1, Y, X)`` without group axis.
    """
    inside = {id(part) for attend in model.modules() if isinstance(attend, Attend) for part in attend.modules()}
    found: dict[str, Tensor] = {}
    seen_first: list[nn.Module] = []

    def hook(name: str) -> Any:
        def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not seen_first:  # its input is the image
                seen_first.append(module)
            if module is seen_first[0]:
                return
            x = (args[0] if args else next(iter(kwargs.values()))).detach().abs()
            response = x.amax(1, keepdim=True) if reduction == "max" else x.mean(1, keepdim=True)
            largest = response.flatten(1).amax(1).view(-1, *[1] * (response.dim() - 1))
            found[unused(found, name)] = response / largest.clamp(min=torch.finfo(x.dtype).tiny)

        return record

    handles = []
    try:
        for name, part in model.named_modules():
            if isinstance(part, GroupConvolution | nn.Conv2d) and id(part) not in inside:
                handles.append(part.register_forward_pre_hook(hook(name), with_kwargs=True))
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _on_group(value: Tensor) -> Tensor:
    """A module's map ``(B, 1, |H|, Y, X)`` or ``(B, 1, Y, X)`` as ``(B, |H| or 1, Y, X)``."""
    return value.squeeze(1) if value.dim() == 5 else value
