"""Attention maps by module name, collected from outside the forward pass.

A hook before each attention module (a layer of full attention, or an `Attend`: input attention and the published
modules) sees the module's input and computes its maps from that, as `attentive_gconv.visualize.reduction` defines them;
how the module computes its output does not matter. The forward pass runs as it would without: no output bit, no random
number and no running statistic is changed, and no hook is left behind, whether it ends or raises.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.nn import Attend, InputAttentiveGroupConv2d, InputAttentiveLiftingConv2d
from attentive_gconv.visualize.reduction import FullAttention, View

INPUT_ATTENTIVE = InputAttentiveLiftingConv2d | InputAttentiveGroupConv2d


def attention_maps(
    model: nn.Module,
    images: Tensor,
    *,
    parts: bool = True,
    reduction: str = "mean",
    pose: str = "input",
    kept: bool = True,
) -> dict[str, Tensor]:
    """Every attention map of a network for some images: what is *kept*, by module name.

    The layers suppress: what they let through is 1 - α, and that is what is returned (for modules that multiply α, for
    those that amplify 1 + α). The model runs once, in the mode it is in, without gradients; in training mode, as with
    any other forward pass, batch normalisation takes notice of the images. For a forward pass of your own see
    `attentive_gconv.visualize.collect_attention`.

    Args:
        model: any module; its attention modules are its layers with full attention and every
            `attentive_gconv.nn.Attend`: input attention, SE, CBAM, BAM, residual and co-attention.
        images: ``(B, C, Y, X)``, or whatever the model takes.
        parts: one map for each part, named as its module (``"c1.channel_attention"``); else one for each attention
            module (``"c1"``), the factor that all its parts together leave, reduced over channels too.
        reduction: what is done where the map of a full-attention layer depends on more than a map on the group can:
            ``"mean"`` or ``"max"`` over output channels and one of the poses. ``"none"`` gives every map as it is,
            which for full attention is ``(B, O, |H|, C, |H'|, Y, X)`` with ones where a map does not depend on an
            axis; with ``parts=False`` that is as large as the 7-D response itself.
        pose: the pose that is left of a full-attention layer's two: ``"input"`` (h') or ``"output"`` (h). Lifting
            layers have the latter only.
        kept: show what is kept; False gives α itself, what the paper calls the attention map.

    Returns:
        Detached tensors in the order of their computation: ``(B, C, |H|, 1, 1)`` for channel attention,
        ``(B, 1, |H|, Y, X)`` for spatial attention and whole modules; without the group axis where the attention of a
        lifting layer looks at its planar input. Each is equivariant: the maps of L_g x are L_g of the maps of x. A
        module that runs several times has ``":2"``, ``":3"``, ... behind its name from the second time on.

    Raises:
        ValueError: on an unknown reduction or pose.
        RuntimeError: if the model has attention and none of it was reached, as in a compiled model.

    Source:
        Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830; the reductions are ours.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model, images = ag.create_model("alpha_f_p4cnn").eval(), torch.randn(2, 1, 28, 28)
        >>> maps = ag.attention_maps(model, images)
        >>> list(maps)[:2]
        ['c1.attention.channel_attention', 'c1.attention.spatial_attention']
        >>> maps["c2.attention.spatial_attention"].shape
        torch.Size([2, 1, 4, 26, 26])
    """
    with torch.no_grad(), collect_attention(model, parts=parts, reduction=reduction, pose=pose, kept=kept) as found:
        model(images)
    if not found and (names := list(attention_modules(model))):
        raise RuntimeError(
            f"none of the {len(names)} attention modules ({', '.join(names[:3])}, ...) was reached by the forward "
            "pass; of a compiled model give the one it was made from"
        )
    return found


@contextmanager
def collect_attention(
    model: nn.Module, *, parts: bool = True, reduction: str = "mean", pose: str = "input", kept: bool = True
) -> Iterator[dict[str, Tensor]]:
    """Collect the attention maps of whatever forward passes run inside the ``with`` block.

    Args:
        model, parts, reduction, pose, kept: as in `attention_maps`.

    Yields:
        A dict that fills as the model runs, with what `attention_maps` returns.

    Raises:
        ValueError: on an unknown reduction or pose.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> from attentive_gconv.visualize import collect_attention
        >>> model, images = ag.create_model("alpha_f_p4cnn"), torch.randn(2, 1, 28, 28)
        >>> with collect_attention(model, parts=False) as maps:
        ...     model(images).sum().backward()
        >>> maps["c7.attention"].shape
        torch.Size([2, 1, 4, 4, 4])
    """
    view = View(parts, reduction, pose, kept)
    found: dict[str, Tensor] = {}

    def hook(name: str, module: nn.Module) -> Any:
        def record(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            x = args[0] if args else next(iter(kwargs.values()))
            with torch.no_grad(), undisturbed(module, x.device):
                for key, value in view.maps_of(name, module, x).items():
                    found[unused(found, key)] = value

        return record

    # a layer with input attention may do everything in one step: it is its own input that counts
    owners = {id(layer.attention): layer for layer in model.modules() if isinstance(layer, INPUT_ATTENTIVE)}
    handles = []
    try:
        for name, module in attention_modules(model).items():
            seen = owners.get(id(module), module)
            handles.append(seen.register_forward_pre_hook(hook(name, module), with_kwargs=True))
        yield found
    finally:
        for handle in handles:
            handle.remove()


def attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Attention modules by name: layers with full attention, and every `Attend`."""
    return {name: part for name, part in model.named_modules() if isinstance(part, FullAttention | Attend)}


def unused(found: dict[str, Tensor], key: str) -> str:
    """A key that is not taken: with the number of the call for a module that runs several times."""
    times = 1
    while (numbered := key if times == 1 else f"{key}:{times}") in found:
        times += 1
    return numbered


@contextmanager
def undisturbed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Keep random number generators and the module's buffers as they are.

    In training mode batch normalisation updates its running statistics; it updates copies here. The buffers themselves
    are not written to, which a backward pass that is still to come would take amiss.
    """
    owners = [part for part in module.modules() if part.training]
    before = [(part, dict(part._buffers)) for part in owners]
    try:
        for part, buffers in before:
            for name, buffer in buffers.items():
                part._buffers[name] = None if buffer is None else buffer.clone()
        with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
            yield
    finally:
        for part, buffers in before:
            part._buffers.update(buffers)
