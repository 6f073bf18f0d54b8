r"""Equivariance checks, for the library's own tests and for yours.

A module Φ is equivariant if Φ(L_h x) = L_h Φ(x) for every h in H. The action L_h depends on the shape: it transforms
the plane of a planar map (B, C, Y, X), transforms the plane and permutes the poses of a map on the group
(B, C, |H|, Y, X), and leaves vectors (B, K) unchanged, so that a classifier is checked for invariance.

    exact elements        max|Φ(L_h x) - L_h Φ(x)| / max|L_h Φ(x)|        rounding, if the module is equivariant
    elements that         rms(Φ(L_h x) - L_h Φ(x)) / rms(L_h Φ(x))        loss by interpolation of x, the kernels
    interpolate           inside the disc that stays within the map       and Φ(x)
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.groups.interpolation import inscribed_disc

__all__ = ["TOLERANCE", "EquivarianceErrors", "act", "assert_equivariant", "check_equivariance"]

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


class EquivarianceErrors(Tensor):
    """Equivariance errors: a tensor ``(|H|,)`` that also knows which elements are exact.

    Operations on it return plain tensors.

    Attributes:
        group: the group.
        tolerance: tolerance of the exact elements.
        approximate_tolerance: tolerance of the others; None if none was given.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> errors = ag.check_equivariance(ag.nn.GroupMaxPool(), "p4", torch.randn(1, 2, 4, 5, 5))
        >>> errors.exact.max().item(), errors.approximate.numel(), errors.passed
        (0.0, 0, True)
        >>> print(errors.report())
        exact elements 0°, 90°, 180°, 270°: largest error 0.0e+00 (0°), tolerance 1.0e-04: passed
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    group: FiniteGroup
    tolerance: float
    approximate_tolerance: float | None

    @property
    def exact(self) -> Tensor:
        """The errors of the elements `FiniteGroup.exact_elements`."""
        return self._of(self.group.exact_elements)

    @property
    def approximate(self) -> Tensor:
        """The errors of the other elements, in their order."""
        return self._of(self._others)

    @property
    def passed(self) -> bool:
        """Whether every error is within its tolerance; approximate elements without a tolerance fail."""
        return not self._failed(self.group.exact_elements, self.tolerance) and not self._failed(
            self._others, self.approximate_tolerance
        )

    def report(self) -> str:
        """One line for the exact elements, and one for the approximate ones if there are any."""
        lines = [self._line("exact", self.group.exact_elements, self.tolerance)]
        if self._others:
            lines.append(self._line("approximate", self._others, self.approximate_tolerance))
        return "\n".join(lines)

    @property
    def _others(self) -> tuple[int, ...]:
        return tuple(h for h in range(self.group.order) if h not in self.group.exact_elements)

    def _of(self, elements: tuple[int, ...]) -> Tensor:
        return self.as_subclass(Tensor)[list(elements)]

    def _failed(self, elements: tuple[int, ...], tolerance: float | None) -> bool:
        # not "any error is larger", because an error may be NaN
        return bool(elements) and (tolerance is None or not bool((self._of(elements) <= tolerance).all()))

    def _line(self, kind: str, elements: tuple[int, ...], tolerance: float | None) -> str:
        errors = self._of(elements)
        worst = int(errors.argmax())
        names = [self.group.element_name(h) for h in elements]
        line = f"{kind} elements {', '.join(names)}: largest error {errors[worst]:.1e} ({names[worst]})"
        if tolerance is None:
            return f"{line}, no tolerance given"
        return f"{line}, tolerance {tolerance:.1e}: {'failed' if self._failed(elements, tolerance) else 'passed'}"


def act(group: FiniteGroup, h: int, tensor: Tensor) -> Tensor:
    """Apply L_h to a tensor by its number of axes: map on the group (5), planar map (4), or vector (fewer)."""
    if tensor.dim() == 5:
        return group.act(h, tensor)
    return group.act_on_plane(h, tensor) if tensor.dim() == 4 else tensor


def check_equivariance(
    module: Callable[[Tensor], Tensor],
    group: str | FiniteGroup,
    x: Tensor,
    tolerance: float | None = None,
    approximate_tolerance: float | None = None,
) -> EquivarianceErrors:
    """Measure the equivariance error of a module for each element of the group.

    The module is called in eval mode without gradients, and its mode is restored. Outputs that differ in shape or are
    not finite have an infinite error.

    Args:
        module: a module or function of one tensor.
        group: the group.
        x: an input, ``(B, C, Y, X)`` or ``(B, C, |H|, Y, X)``, of the module's dtype. For elements that interpolate
            use smooth, square images that are dark outside the disc: what a rotation moves out of the image, or the
            grid cannot resolve, is not the module's error.
        tolerance, approximate_tolerance: of the two kinds of elements, for the report; see `assert_equivariant`.

    Returns:
        float64 ``(|H|,)``: for each exact h the worst relative error, max|Φ(L_h x) - L_h Φ(x)| / max|L_h Φ(x)|; for
        each other the relative RMS error inside the disc. ``exact`` and ``approximate`` select the two kinds,
        ``report()`` compares them with the tolerances.

    Raises:
        ValueError: if x is not a batch of maps.
        TypeError: if the module does not return a single tensor.

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
    if x.dim() not in (4, 5):  # L_h would not change it, and every module would pass
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
            measures = [_relative_error if h in group.exact_elements else _error_in_disc for h in range(group.order)]
            errors = [measure(module(act(group, h, x)), act(group, h, straight)) for h, measure in enumerate(measures)]
    finally:
        for part, training in modes.items():
            part.training = training
    found = torch.tensor(errors, dtype=torch.float64, device="cpu").as_subclass(EquivarianceErrors)
    found.group = group
    found.tolerance = TOLERANCE.get(x.dtype, 0.0) if tolerance is None else tolerance
    found.approximate_tolerance = approximate_tolerance
    return found


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    if actual.shape != expected.shape or not (actual.isfinite().all() and expected.isfinite().all()):
        return float("inf")
    scale = expected.abs().max().double().item()
    error = (actual.double() - expected.double()).abs().max().item()
    return error / scale if scale > 0 else error


def _error_in_disc(actual: Tensor, expected: Tensor) -> float:
    """Relative RMS error; of maps inside the disc that stays within them under every rotation."""
    if actual.shape != expected.shape or not (actual.isfinite().all() and expected.isfinite().all()):
        return float("inf")
    actual, expected = actual.double(), expected.double()
    if actual.dim() > 3:
        inside = inscribed_disc(actual.shape[-2], actual.shape[-1], device=actual.device)
        actual, expected = actual[..., inside], expected[..., inside]
    scale = float(expected.square().sum().sqrt())
    error = float((actual - expected).square().sum().sqrt())
    return error / scale if scale > 0 else error


def assert_equivariant(
    module: Callable[[Tensor], Tensor],
    group: str | FiniteGroup,
    x: Tensor,
    tolerance: float | None = None,
    *,
    approximate_tolerance: float | None = None,
) -> None:
    """Fail unless a module is equivariant: to rounding, and for elements that interpolate to a given tolerance.

    Args:
        module, group, x: as in `check_equivariance`.
        tolerance: the largest relative error of exact elements; None depends on the dtype of x (1e-10 for float64, 1e-4
            for float32, 1e-2 for float16, 5e-2 for bfloat16).
        approximate_tolerance: the largest error of the elements that interpolate, if the group has any. It has no
            default, because it depends on the images; ``math.inf`` skips them.

    Raises:
        AssertionError: if an error is too large; the message names the element, its error and the tolerance.
        TypeError: if x is not a floating-point tensor of a dtype named above and no tolerance is given.
        ValueError: if the group has elements that interpolate and no tolerance is given for them.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.testing.assert_equivariant(ag.nn.GroupMaxPool(), "p4", torch.randn(1, 2, 4, 5, 5))
    """
    group = find_group(group)
    if tolerance is None:
        if x.dtype not in TOLERANCE:
            raise TypeError(f"x has dtype {x.dtype}, for which there is no usual tolerance; give `tolerance`")
        tolerance = TOLERANCE[x.dtype]
    if not group.is_exact and approximate_tolerance is None:
        raise ValueError(
            f"group {group.name!r} has elements that interpolate, for which there is no usual tolerance; give "
            "`approximate_tolerance`, or check its exact subgroup, group.exact, alone"
        )
    errors = check_equivariance(module, group, x, tolerance, approximate_tolerance)
    limits = [tolerance if h in group.exact_elements else approximate_tolerance or 0.0 for h in range(group.order)]
    excess = [error if not error <= limit else -1.0 for error, limit in zip(errors.tolist(), limits, strict=True)]
    worst = max(range(group.order), key=lambda h: excess[h])
    if excess[worst] != -1.0:
        table = ", ".join(f"{group.element_name(h)}: {error:.1e}" for h, error in enumerate(errors.tolist()))
        kind = "" if worst in group.exact_elements else "approximate "
        raise AssertionError(
            f"not equivariant to {group.name!r}: {kind}element {worst} ({group.element_name(worst)}) has the relative "
            f"error {errors[worst]:.2e}, tolerance {limits[worst]:.1e} for {x.dtype}; all elements: {table}. "
            "Frequent causes: a stride or pool that does not sample a side symmetrically (2 x 2 on an odd side), a "
            "planar layer, a weight for each pose; docs/explanation/equivariance.md lists them all"
        )
