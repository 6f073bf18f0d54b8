r"""Equivariance error of an image's maps: in all poses of a group, and in a full turn.

    exact      K(L_h x) - L_h K(x) for every element h of a group: 0, to rounding, if the network is equivariant to it
    any angle  E(θ) = rms( K(R_θ x) - R_θ K(x) ) / std( K(x) ), inside the disc that stays within the image

K is the sum of `attentive_gconv.explain` over the poses. R_θ is an exact rotation by a multiple of 90° and a bilinear
one by the remaining angle in [0°, 90°). E vanishes at multiples of 90° if the network is equivariant; between them it
measures the loss by interpolation, of image and map, and by the network. At E = 1 the error is as large as the
variation of the map itself.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.data.rotation import rotate_images
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.groups.interpolation import inscribed_disc
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
        differences: L_h⁻¹ K(L_h x) - K(x), ``(|H|, Y, X)``; for elements that interpolate, zero outside the disc.
        outputs: the network's outputs, ``(|H|, K)``.
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
        group: the group of the poses; by default that of the model, and p4 for a planar one.
        **options: arguments of `attentive_gconv.explain`.

    Raises:
        ValueError: if the image is not square.

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
    differences[others] *= disc(image.shape[-1], image.device)
    return Poses(chosen, images, maps, differences, outputs)


def _moved(group: FiniteGroup, h: int, image: Tensor) -> Tensor:
    """L_h of an image ``(C, Y, X)``; if it interpolates, outside is filled with the border's colour."""
    if h in group.exact_elements:
        return group.act_on_plane(h, image)
    fill = border_colour(image).view(-1, 1, 1)
    return group.act_on_plane(h, image - fill) + fill


@dataclass(frozen=True)
class FullTurn:
    """An image rotated by S angles, with the map and the equivariance error of each.

    Attributes:
        degrees: the angles, counter-clockwise on screen, ``(S,)``.
        images: R_θ x, ``(S, C, Y, X)``.
        maps: K(R_θ x), ``(S, Y, X)``.
        errors: E(θ), float64 ``(S,)``.
        outputs: the network's outputs, ``(S, K)``.
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
        steps: number of angles; a multiple of 4 includes the multiples of 90°.
        sense: -1 for images stored columns first, in which the rotation on screen has the opposite sense.
        **options: arguments of `attentive_gconv.explain`.

    Raises:
        ValueError: if the image is not square, or there are fewer than 4 steps.
    """
    _require_square(image)
    if steps < 4:
        raise ValueError(f"`steps` (={steps}) must be at least 4")
    degrees = torch.arange(steps, dtype=torch.float64, device="cpu") * 360 / steps
    return turned(model, image, degrees, sense=sense, **options)


def turned(model: nn.Module, image: Tensor, degrees: Tensor, *, sense: int = 1, **options: Any) -> FullTurn:
    """Explain an image rotated by each of these angles; arguments as in `full_turn`."""
    images = turn(image, sense * degrees, border_colour(image))
    maps, outputs = _sums(model, torch.cat([image[None], images]), options)
    reference = maps[0]
    expected = turn(reference[None], sense * degrees, border_colour(reference[None]))[:, 0]
    errors = torch.stack(
        [equivariance_error(found, wanted, reference) for found, wanted in zip(maps[1:], expected, strict=True)]
    )
    return FullTurn(degrees, images, maps[1:], errors, outputs[1:])


def turn(image: Tensor, degrees: Tensor, fill: Tensor) -> Tensor:
    """Rotate an image by each angle: exactly by multiples of 90°, bilinearly by the remaining angle.

    Args:
        image: ``(C, Y, X)``, square.
        degrees: ``(S,)``, counter-clockwise.
        fill: value outside the image, ``(C,)``.

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
            part = (
                rotate_images((image - column)[None].float(), torch.tensor([rest], device="cpu"))[0].to(image) + column
            )
        turned_images.append(torch.rot90(part, int(quarters) % 4, (-2, -1)))
    return torch.stack(turned_images)


def disc(side: int, device: torch.device | str = "cpu") -> Tensor:
    """The pixels whose values come from the image under every rotation, bool ``(side, side)``."""
    # half a pixel from the border, where interpolation mixes in the ground
    return inscribed_disc(side, side, 0.5, device)


def equivariance_error(found: Tensor, expected: Tensor, reference: Tensor) -> Tensor:
    """RMS difference of two maps ``(Y, X)`` inside the disc, in units of the reference's standard deviation."""
    inside = disc(len(found), found.device)
    difference = (found - expected)[inside].double().square().mean().sqrt()
    return difference / reference[inside].double().std(unbiased=False).clamp(min=torch.finfo(torch.float64).tiny)


def _sums(model: nn.Module, images: Tensor, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
    parts: list[Explanation] = [explain(model, part, **options) for part in images.split(BATCH)]
    return torch.cat([part.sum for part in parts]), torch.cat([part.output for part in parts])


def _require_square(image: Tensor) -> None:
    if image.dim() != 3 or image.shape[-1] != image.shape[-2]:
        raise ValueError(f"`image` must be square, (C, Y, Y), to be turned; got shape {tuple(image.shape)}")
