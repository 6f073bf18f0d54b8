"""Equivariance checks, for the library's own tests and for yours.

A module Φ is equivariant when Φ(L_h x) = L_h Φ(x) for every h in H. What L_h does follows from the shape: it moves a
planar map (B, C, Y, X), moves and permutes a map on the group (B, C, |H|, Y, X), and leaves vectors (B, K) as they are,
so that for a classifier the check is one of invariance.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group

__all__ = ["TOLERANCE", "act", "assert_equivariant", "check_equivariance"]

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def act(group: FiniteGroup, h: int, tensor: Tensor) -> Tensor:
    """Apply L_h to a tensor by its number of axes: map on the group (5), planar map (4), or vector (fewer)."""
    if tensor.dim() == 5:
        return group.act(h, tensor)
    return group.act_on_plane(h, tensor) if tensor.dim() == 4 else tensor


def check_equivariance(module: Callable[[Tensor], Tensor], group: str | FiniteGroup, x: Tensor) -> Tensor:
    """Measure how far a module is from equivariance, for each element of the group.

    The module is called in eval mode without gradients, and left in the mode it was in. A configuration that breaks
    equivariance shows as a large error; outputs that differ in shape, or are not finite, count as infinite.

    Args:
        module: a module or function of one tensor.
        group: the group.
        x: an input, ``(B, C, Y, X)`` or ``(B, C, |H|, Y, X)``, of the module's dtype.

    Returns:
        float64 ``(|H|,)``: for each h the worst relative error, max|Φ(L_h x) - L_h Φ(x)| / max|L_h Φ(x)|.

    Raises:
        ValueError: if x is no batch of maps.
        TypeError: if the module returns anything but one tensor.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> layer = ag.nn.LiftingConv2d("p4", 1, 2, 3, dtype=torch.float64)
        >>> bool((ag.check_equivariance(layer, "p4", torch.randn(1, 1, 7, 7, dtype=torch.float64)) < 1e-10).all())
        True
        >>> strided = ag.nn.LiftingConv2d("p4", 1, 2, 3, stride=2)  # on an even side the grid does not map to itself
        >>> bool(ag.check_equivariance(strided, "p4", torch.randn(1, 1, 8, 8)).max() > 0.1)
        True
    """
    group = find_group(group)
    if x.dim() not in (4, 5):  # L_h would leave it as it is, and everything would pass
        raise ValueError(f"x must be (B, C, Y, X) or (B, C, |H|, Y, X), got shape {tuple(x.shape)}; add the batch axis")
    modes = {part: part.training for part in module.modules()} if isinstance(module, nn.Module) else {}
    try:
        if isinstance(module, nn.Module):
            module.eval()
        with torch.no_grad():
            straight = module(x)
            if not isinstance(straight, Tensor):
                raise TypeError(
                    f"the module must return one tensor, got {type(straight).__name__}; wrap it in a function that "
                    "picks one"
                )
            errors = [_relative_error(module(act(group, h, x)), act(group, h, straight)) for h in range(group.order)]
    finally:
        for part, training in modes.items():
            part.training = training
    return torch.tensor(errors, dtype=torch.float64)


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    if actual.shape != expected.shape or not (actual.isfinite().all() and expected.isfinite().all()):
        return float("inf")
    scale = expected.abs().max().double().item()
    error = (actual.double() - expected.double()).abs().max().item()
    return error / scale if scale > 0 else error


def assert_equivariant(
    module: Callable[[Tensor], Tensor], group: str | FiniteGroup, x: Tensor, tolerance: float | None = None
) -> None:
    """Fail unless a module is equivariant to rounding.

    Args:
        module, group, x: as in `check_equivariance`.
        tolerance: the largest relative error; None follows the dtype of x (1e-10 for float64, 1e-4 for float32,
            1e-2 for float16, 5e-2 for bfloat16).

    Raises:
        AssertionError: names the element, its error and the tolerance.
        TypeError: if x is not a floating-point tensor of a dtype named above and no tolerance is given.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.testing.assert_equivariant(ag.nn.GroupMaxPool(), "p4", torch.randn(1, 2, 4, 5, 5))
    """
    group = find_group(group)
    if tolerance is None:
        if x.dtype not in TOLERANCE:
            raise TypeError(f"x has dtype {x.dtype}, for which there is no usual tolerance; give `tolerance`")
        tolerance = TOLERANCE[x.dtype]
    errors = check_equivariance(module, group, x)
    worst = int(errors.argmax())
    if not errors[worst] <= tolerance:
        table = ", ".join(f"{group.element_name(h)}: {error:.1e}" for h, error in enumerate(errors.tolist()))
        raise AssertionError(
            f"not equivariant to {group.name!r}: element {worst} ({group.element_name(worst)}) has the relative error "
            f"{errors[worst]:.2e}, tolerance {tolerance:.1e} for {x.dtype}; all elements: {table}"
        )
