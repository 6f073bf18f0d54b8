"""Attention maps by module name, collected from outside the forward pass.

A pre-forward hook on each attention module (a layer with full attention, or an `Attend`: input attention and the
published modules) computes the maps from the module's input, as `attentive_gconv.visualize.reduction` defines them,
whichever implementation computes the module's output. The forward pass is unchanged: outputs are bit-identical, random
numbers and running statistics are not affected, and the hooks are removed even if it raises.
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
    """Compute the attention maps of a network for a batch of images, by module name: the factors that are *kept*.

    Attentive layers suppress their responses: they keep the factor 1 - α, which is returned (α for modules that
    multiply, 1 + α for modules that amplify). The model runs once without gradients, in the mode it is in; in training
    mode the forward pass updates batch normalisation as usual. To collect the maps of your own forward passes, use
    `attentive_gconv.visualize.collect_attention`.

    Args:
        model: any module; its attention modules are its layers with full attention and every
            `attentive_gconv.nn.Attend`: input attention, SE, CBAM, BAM, residual and co-attention.
        images: ``(B, C, Y, X)``, or any other input of the model.
        parts: return one map for channel and one for spatial attention, named after their modules
            (``"c1.channel_attention"``); else one map for each attention module (``"c1"``), the product of both,
            reduced over channels too.
        reduction: how the maps of full attention, which have more axes than a map on the group, are reduced over output
            channels and one of the two poses: ``"mean"`` or ``"max"``. ``"none"`` returns unreduced maps, for full
            attention ``(B, O, |H|, C, |H'|, Y, X)`` with size 1 where a map does not depend on an axis; with
            ``parts=False`` they are as large as the separate responses.
        pose: which of the two poses of full attention remains: ``"input"`` (h') or ``"output"`` (h). Lifting layers
            have only the latter.
        kept: return the factor that is kept; False returns the suppression map α, which the paper calls attention map.

    Returns:
        Detached tensors in the order of their computation: ``(B, C, |H|, 1, 1)`` for channel attention,
        ``(B, 1, |H|, Y, X)`` for spatial attention and whole modules; without the group axis on the planar input of a
        lifting layer. All are equivariant: the maps of L_g x are L_g of the maps of x. If a module runs several times,
        ``":2"``, ``":3"``, ... is appended to its name from the second time on.

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
            "pass; for a compiled model, give the original one"
        )
    return found


@contextmanager
def collect_attention(
    model: nn.Module, *, parts: bool = True, reduction: str = "mean", pose: str = "input", kept: bool = True
) -> Iterator[dict[str, Tensor]]:
    """Collect the attention maps of all forward passes inside the ``with`` block.

    Args:
        model, parts, reduction, pose, kept: as in `attention_maps`.

    Yields:
        A dict that is filled while the model runs, as `attention_maps` returns it.

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

    # a layer with input attention may not call its attention module, but both have the same input
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
    """An unused key: from the second call of a module on, with the number of the call."""
    times = 1
    while (numbered := key if times == 1 else f"{key}:{times}") in found:
        times += 1
    return numbered


@contextmanager
def undisturbed(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Leave random number generators and the module's buffers unchanged.

    In training mode batch normalisation updates copies of its running statistics: writing to the buffers themselves
    would also be an error for a later backward pass.
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
