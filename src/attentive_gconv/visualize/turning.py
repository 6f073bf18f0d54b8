r"""Equivariance error of the maps of an image in all poses of a group, and in a full turn of small steps.

    exact      K(L_h x) - L_h K(x) for every element h of a group: 0, to rounding, if the network is equivariant to it
    any angle  E(θ) = rms( K(R_θ x) - R_θ K(x) ) / std( K(x) ), inside the disc that no turn moves out of the image

K is the sum of `attentive_gconv.explain` over the poses. R_θ is a quarter turn (exact) and a rest in [0°, 90°) with
bilinear interpolation, so that E vanishes at multiples of 90° where the network is equivariant, and between them says
how much is lost to the grid: by the interpolation of both images, and by the network. E = 1 is an error as large as
the map's own variation.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.data.rotation import rotate_images
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.resizing import border_colour
from attentive_gconv.visualize.explanation import Explanation, explain, group_of

BATCH = 8


@dataclass(frozen=True)
class Poses:
    """An image in all poses of a group, and the map of each.

    Attributes:
        group: the group.
        images: L_h x, ``(|H|, C, Y, X)``.
        maps: K(L_h x), ``(|H|, Y, X)``.
        differences: L_h⁻¹ K(L_h x) - K(x), ``(|H|, Y, X)``; of elements that interpolate, inside the disc alone.
        outputs: of the network, ``(|H|, K)``.
    """

    group: FiniteGroup
    images: Tensor
    maps: Tensor
    differences: Tensor
    outputs: Tensor


def all_poses(model: nn.Module, image: Tensor, group: str | FiniteGroup | None = None, **options: Any) -> Poses:
    """Explain an image in every pose of a group.

    Args:
        model: as in `attentive_gconv.explain`.
        image: ``(C, Y, X)``, square.
        group: whose elements are the poses; None is that of the model, and p4 for a planar one.
        **options: of `attentive_gconv.explain`.

    Raises:
        ValueError: if the image is no square.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> poses = all_poses(ag.create_model("alpha_f_p4cnn").double(), torch.randn(1, 28, 28).double())
        >>> poses.maps.shape, bool(poses.differences.abs().max() < 1e-10 * poses.maps.max())
        (torch.Size([4, 28, 28]), True)
    """
    _require_square(image)
    if group is None:
        own = group_of(model)
        group = own if own.order > 1 else "p4"
    chosen = find_group(group)
    images = torch.stack([_moved(chosen, h, image) for h in range(chosen.order)])
    maps, outputs = _sums(model, images, options)
    back = torch.stack([_moved(chosen, chosen.inverse(h), maps[h][None])[0] for h in range(chosen.order)])
    differences = back - maps[0]
    others = [h for h in range(chosen.order) if h not in chosen.exact_elements]
    differences[others] *= disc(image.shape[-1])
    return Poses(chosen, images, maps, differences, outputs)


def _moved(group: FiniteGroup, h: int, image: Tensor) -> Tensor:
    """L_h of an image ``(C, Y, X)``; where it interpolates, the colour of the border comes in from outside."""
    if h in group.exact_elements:
        return group.act_on_plane(h, image)
    fill = border_colour(image).view(-1, 1, 1)
    return group.act_on_plane(h, image - fill) + fill


@dataclass(frozen=True)
class FullTurn:
    """An image in a full turn, with the maps and the equivariance error of every step.

    Attributes:
        degrees: counter-clockwise to the eye, ``(S,)``.
        images: R_θ x, ``(S, C, Y, X)``.
        maps: K(R_θ x), ``(S, Y, X)``.
        errors: E(θ), float64 ``(S,)``.
        outputs: of the network, ``(S, K)``.
    """

    degrees: Tensor
    images: Tensor
    maps: Tensor
    errors: Tensor
    outputs: Tensor


def full_turn(model: nn.Module, image: Tensor, steps: int = 72, *, sense: int = 1, **options: Any) -> FullTurn:
    """Explain an image in a full turn.

    Args:
        model: as in `attentive_gconv.explain`.
        image: ``(C, Y, X)``, square.
        steps: how many; a multiple of 4 meets the quarter turns.
        sense: -1 for images that are stored columns first, in which the eye's counter-clockwise is clockwise.
        **options: of `attentive_gconv.explain`.

    Raises:
        ValueError: if the image is no square, or the steps are fewer than 4.
    """
    _require_square(image)
    if steps < 4:
        raise ValueError(f"`steps` (={steps}) must be at least 4")
    degrees = torch.arange(steps, dtype=torch.float64) * 360 / steps
    return turned(model, image, degrees, sense=sense, **options)


def turned(model: nn.Module, image: Tensor, degrees: Tensor, *, sense: int = 1, **options: Any) -> FullTurn:
    """Explain an image at some angles; arguments as in `full_turn`."""
    images = turn(image, sense * degrees, border_colour(image))
    maps, outputs = _sums(model, torch.cat([image[None], images]), options)
    reference = maps[0]
    expected = turn(reference[None], sense * degrees, border_colour(reference[None]))[:, 0]
    errors = torch.stack(
        [equivariance_error(found, wanted, reference) for found, wanted in zip(maps[1:], expected, strict=True)]
    )
    return FullTurn(degrees, images, maps[1:], errors, outputs[1:])


def turn(image: Tensor, degrees: Tensor, fill: Tensor) -> Tensor:
    """Rotate an image by every angle: quarter turns exactly, the rest of the angle with bilinear interpolation.

    Args:
        image: ``(C, Y, X)``, square.
        degrees: ``(S,)``, counter-clockwise.
        fill: what comes in from outside, ``(C,)``.

    Returns:
        ``(S, C, Y, X)``.

    Example:
        >>> image = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
        >>> torch.equal(turn(image, torch.tensor([90.0]), torch.zeros(1))[0], torch.rot90(image, 1, (-2, -1)))
        True
    """
    column = fill.view(-1, 1, 1)
    turned_images = []
    for angle in degrees.tolist():
        quarters, rest = divmod(angle, 90.0)
        part = image
        if rest:
            part = rotate_images((image - column)[None].float(), torch.tensor([rest]))[0].to(image) + column
        turned_images.append(torch.rot90(part, int(quarters) % 4, (-2, -1)))
    return torch.stack(turned_images)


def disc(side: int) -> Tensor:
    """The pixels that no turn moves out of the image, bool ``(side, side)``."""
    offset = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    return offset[:, None] ** 2 + offset[None, :] ** 2 <= (side / 2 - 1) ** 2


def equivariance_error(found: Tensor, expected: Tensor, reference: Tensor) -> Tensor:
    """Rms of the difference of two maps ``(Y, X)`` inside the disc, in units of the reference's standard deviation."""
    inside = disc(len(found))
    difference = (found - expected)[inside].double().square().mean().sqrt()
    return difference / reference[inside].double().std(unbiased=False).clamp(min=torch.finfo(torch.float64).tiny)


def _sums(model: nn.Module, images: Tensor, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    parts: list[Explanation] = [explain(model, part, **options) for part in images.split(BATCH)]
    return torch.cat([part.sum for part in parts]), torch.cat([part.output for part in parts])


def _require_square(image: Tensor) -> None:
    if image.dim() != 3 or image.shape[-1] != image.shape[-2]:
        raise ValueError(f"`image` must be square, (C, Y, Y), to be turned; got shape {tuple(image.shape)}")
