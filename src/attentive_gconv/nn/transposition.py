r"""Conversion of a network for transposed images (rows and columns exchanged) to upright ones, exactly.

Let t exchange rows and columns. If t h t⁻¹ is in H for all h in H (rotations: their inverses), then

    (Φ f)(p, h) = f(t⁻¹p, t⁻¹ h t)

is an automorphism of maps on G, and a layer with the kernel Φ⁻¹ψ is Φ⁻¹ ∘ layer ∘ Φ: the cross-correlation of Tx with
L_h ψ is that of x with L_{t⁻¹ h t} T⁻¹ψ, transposed. So a network whose kernels are all changed in this way gives to x
what it gave to the transposed image: invariant outputs are equal, maps are moved by Φ⁻¹. Kernels that are sampled from
weights on rings get the weights whose samples are the transposed ones: the grid is symmetric, so there are some.

A restriction to a subgroup, x ↦ x(h g_j), becomes x ↦ x(t⁻¹·(t h t⁻¹) g_j·t).

Source: ours; the group law of Cohen & Welling, ICML 2016, https://arxiv.org/abs/1602.07576, applied to an outer
automorphism.
"""

from typing import Any

import torch
from torch import nn

from attentive_gconv.functional import KernelTransform
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups.finite import matrix_key
from attentive_gconv.groups.interpolation import Matrix
from attentive_gconv.nn.arguments import checked, instance_of
from attentive_gconv.nn.packed_weights import TransformedWeights
from attentive_gconv.nn.restriction import GroupRestriction

# attributes of layers, of PyTorch too, that hold (Y, X)
_PAIRS = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "scale_factor")


@checked(model=instance_of(nn.Module))
@torch.no_grad()
def transpose_kernels_(model: nn.Module) -> nn.Module:
    """Transpose a network's kernels in place, so that it takes images with rows and columns exchanged.

    Afterwards ``model(x)`` is, to rounding, what ``model(x.mT)`` was before; maps on the group are transposed, with
    their poses conjugated. Twice is the identity. Convolutions, attention and `GroupRestriction` of the library, square
    kernels of `torch.nn.Conv2d`, and every unequal pair (Y, X) of sizes are changed; other norms, pools and layers that
    act on channels alone need no change. A `torch.nn.Linear` layer over flattened positions is not recognised.

    Args:
        model: a network of such layers.

    Returns:
        The same network. Its state dict does not hold what changed beside the weights (`transposed_beside_weights`).

    Raises:
        ValueError: if a layer's group does not contain the conjugates of its elements by the transposition, a layer of
            another kind has weights with spatial axes, or a kernel is pruned or parametrized. The network is then as it
            was.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model, x = ag.create_model("p4cnn").double().eval(), torch.randn(2, 1, 28, 28, dtype=torch.float64)
        >>> before = model(x.mT)
        >>> torch.allclose(ag.nn.transpose_kernels_(model)(x), before)
        True
    """
    # all new values first, as copies: an error leaves the network as it was, and tied weights are transposed once
    changed: list[tuple[torch.Tensor, torch.Tensor]] = []
    for module in model.modules():
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, TransformedWeights):
            for name, transform in module._tables.items():
                weight = _own(module, own, name)
                changed.append((weight, _transposed(weight, transform, module.group).clone()))
        elif isinstance(module, nn.Conv2d) and _is_square(module):
            weight = _own(module, own, "weight")
            changed.append((weight, weight.transpose(-2, -1).clone()))
        elif isinstance(module, GroupRestriction):
            changed.append((module.pose_index, _transposed_restriction(module)))
        elif unknown := [name for name, weight in own.items() if weight.dim() > 2 and max(weight.shape[2:]) > 1]:
            raise ValueError(
                f"{type(module).__name__} has weights with spatial axes, {', '.join(unknown)}, whose transposition is "
                "not known: transpose the images instead"
            )
    for weight, new in changed:
        weight.copy_(new)
    for module in model.modules():
        for name, value in _unequal_pairs(module):
            setattr(module, name, value[::-1])
    return model


def transposed_beside_weights(model: nn.Module) -> list[str]:
    """Names of the modules of which `transpose_kernels_` changes more than weights.

    These are restrictions to a subgroup, and layers with unequal sizes (Y, X). A state dict does not hold such changes.

    Example:
        >>> import attentive_gconv as ag
        >>> transposed_beside_weights(ag.create_model("p4cnn"))
        []
    """

    def changes(module: nn.Module) -> bool:
        if isinstance(module, GroupRestriction):
            return not torch.equal(_transposed_restriction(module), module.pose_index)
        return bool(_unequal_pairs(module))

    return [name for name, module in model.named_modules() if changes(module)]


def _unequal_pairs(module: nn.Module) -> list[tuple[str, tuple[Any, Any]]]:
    """Attributes of a layer that hold unequal sizes (Y, X)."""
    names = (*_PAIRS, "size") if isinstance(module, nn.Upsample) else _PAIRS
    found = [(name, getattr(module, name, None)) for name in names]
    return [(name, v) for name, v in found if isinstance(v, tuple) and len(v) == 2 and v[0] != v[1]]


def _own(module: nn.Module, parameters: dict[str, nn.Parameter], name: str) -> torch.Tensor:
    """A weight that is a parameter of the module itself."""
    if name not in parameters:
        raise ValueError(
            f"{name!r} of {type(module).__name__} is no parameter, as under pruning and parametrization: make it "
            "permanent first, as with torch.nn.utils.prune.remove or parametrize.remove_parametrizations"
        )
    return parameters[name]


def _is_square(layer: nn.Conv2d) -> bool:
    return layer.kernel_size[0] == layer.kernel_size[1] and layer.padding_mode == "zeros"


def _transposed(weight: torch.Tensor, transform: KernelTransform, group: FiniteGroup) -> torch.Tensor:
    """Φ⁻¹ of a kernel: ψ'(p, h) = ψ(tp, t h t⁻¹)."""
    entries = transform.index.shape[1:]
    pose_axis = -len(transform.entries)
    if transform.basis is not None:
        side = transform.basis.shape[-1]
        samples = transform.basis[:, :side]  # by the identity
        exchange = samples.mT.flatten(1) @ torch.linalg.pinv(samples.flatten(1))
        weight = weight @ exchange.to(weight)
    elif len(entries) > 1:
        weight = weight.transpose(-2, -1)
    if len(entries) == 2:
        return weight
    return weight.index_select(pose_axis, torch.tensor(_conjugates(group), device=weight.device))


def _transposed_restriction(layer: GroupRestriction) -> torch.Tensor:
    """The table of a restriction between transposed maps: t⁻¹·table[j, t h t⁻¹]·t."""
    conjugates = torch.tensor(_conjugates(layer.group), device=layer.pose_index.device)
    return conjugates[layer.pose_index[:, _conjugates(layer.subgroup)]]


def _conjugates(group: FiniteGroup) -> list[int]:
    """The elements t h t⁻¹, in the order of h."""
    number = {matrix_key(matrix): i for i, matrix in enumerate(group.matrices)}
    conjugates: list[Matrix] = [((d, c), (b, a)) for (a, b), (c, d) in group.matrices]
    if not all(matrix_key(matrix) in number for matrix in conjugates):
        raise ValueError(
            f"group {group.name!r} does not contain the conjugates of its elements by the transposition: transpose the "
            "images instead"
        )
    return [number[matrix_key(matrix)] for matrix in conjugates]
