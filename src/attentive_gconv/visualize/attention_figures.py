"""Matplotlib figures of attention maps: `overview`, `layer_maps`, `rotation_sheet`.

    overview         the image, the aggregated map over it, the dominant pose at every position, one panel for each pose
    layer_maps       each module's map by pose
    rotation_sheet   the image in all poses, the maps below, and their differences after rotating them back

High values are kept. Panels that can be compared (the poses of one product or layer) share one colour scale, from their
lowest to their highest value.
"""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from attentive_gconv.data.extras import import_extra
from attentive_gconv.files import atomic_path
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.visualize.display import Arrow, Display
from attentive_gconv.visualize.explanation import Explanation
from attentive_gconv.visualize.turning import all_poses

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "magma"
KIND_TITLES = {"attention": "what the attention keeps", "activation": "where the activations are strong"}
FORMATS = ("png", "svg", "pdf")
# differences below this are rounding, and are drawn on the scale of the maps
NOTHING = 1e-4


def overview(explanation: Explanation, image: Tensor, display: Display | None = None, title: str = "") -> "Figure":
    """Figure with the image, the aggregated map over it, the dominant poses, and one panel for each pose.

    Args:
        explanation: explanation of a single image.
        image: ``(C, Y, X)``, the network's input.
        display: conversion of images, maps and poses.
        title: title of the figure.

    Raises:
        ValueError: if the explanation is of a batch.
    """
    display = display or Display()
    _require_single(explanation)
    order = explanation.group.order
    columns = max(3, order if order <= 4 else 4)
    rows = 1 + -(-order // columns)
    figure = new_figure(2.1 * columns, 2.25 * rows + 0.4)
    figure.suptitle(title or KIND_TITLES[explanation.kind], fontsize="medium", parse_math=False)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    pixels = display.pixels(image)
    show_image(grid[0, 0], pixels, "image")
    show_over(grid[0, 1], pixels, display.plane(explanation.sum), "sum over poses")
    if order > 1:
        poses = display.poses(explanation.group)
        colours = pose_colours(poses)
        show_dominant(grid[0, 2], display.plane(explanation.pose_at), colours)
        dominant = int(explanation.dominant_pose)
        grid[0, 2].set_title(f"dominant: {dict(poses)[dominant].name}", fontsize="small")
        draw_arrow(grid[0, 2], dict(poses)[dominant], "white", at=(0.5, 0.5), length=0.25)
        maps, shares = display.plane(explanation.poses), explanation.strengths.tolist()
        for (h, arrow), axes in zip(poses, grid[1:].flat, strict=False):
            show_map(axes, maps[h], f"{arrow.name}: {100 * shares[h]:.1f} %", maps.min(), maps.max())
            draw_arrow(axes, arrow, colours[h])
    return figure


def layer_maps(explanation: Explanation, image: Tensor, display: Display | None = None, title: str = "") -> "Figure":
    """Figure with every module's map at its own size: one row for each module, one column for each pose.

    Arguments as in `overview`.
    """
    display = display or Display()
    _require_single(explanation)
    poses, layers = display.poses(explanation.group), explanation.layers
    columns = max(2, len(poses))
    figure = new_figure(1.35 * (columns + 1), 1.4 * (len(layers) + 1) + 0.5)
    figure.suptitle(title or KIND_TITLES[explanation.kind], fontsize="medium", parse_math=False)
    grid = figure.subplots(len(layers) + 1, columns + 1, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    show_image(grid[0, 1], display.pixels(image), "image")
    total = display.plane(explanation.sum)
    show_map(grid[0, 2], total, "sum over poses", total.min(), total.max())
    _label(grid[0, 0], "all, multiplied", explanation.sum)
    for row, (name, value) in zip(grid[1:], layers.items(), strict=True):
        _label(row[0], name, value)
        maps = display.plane(value)
        for (h, arrow), axes in zip(poses, row[1:], strict=False):
            if len(maps) == 1 and h > 0:
                continue  # one map, without pose
            heading = arrow.name if len(maps) == len(poses) else "no pose"
            show_map(axes, maps[h], heading, maps.min(), maps.max())
    return figure


def _label(axes: Any, name: str, value: Tensor) -> None:
    size = " x ".join(map(str, value.shape[-2:]))
    text = f"{name}\n{size}\n{float(value.min()):.2g} to {float(value.max()):.2g}"
    axes.text(0.95, 0.5, text, transform=axes.transAxes, fontsize="x-small", ha="right", va="center")


def rotation_sheet(
    model: nn.Module,
    image: Tensor,
    display: Display | None = None,
    group: str | FiniteGroup | None = None,
    title: str = "",
    **options: Any,
) -> "Figure":
    """Figure with the image in all poses, the map of each, and the difference after rotating the map back.

    Args:
        model: the network.
        image: ``(C, Y, X)``, square.
        display: conversion of images, maps and poses.
        group: the group of the poses; by default that of the model, and p4 for a planar one.
        title: title of the figure.
        **options: arguments of `attentive_gconv.explain`.
    """
    display = display or Display()
    poses = all_poses(model, image, group, **options)
    order = poses.group.order
    figure = new_figure(1.5 * order + 0.9, 4.9)
    scale = float(poses.maps.abs().max())
    worst = float(poses.differences.abs().max()) / scale if scale else 0.0
    exact = list(poses.group.exact_elements)
    at_exact = float(poses.differences[exact].abs().max()) / scale if scale else 0.0
    approximate = "" if poses.group.is_exact else f" in the exact poses, {worst:.1e} in the others"
    figure.suptitle(
        f"{title + ': ' if title else ''}largest difference {at_exact:.1e} of the largest value{approximate}",
        fontsize="medium",
        parse_math=False,
    )
    grid = figure.subplots(3, order, squeeze=False)
    maps, differences = display.plane(poses.maps), display.plane(poses.differences)
    limit = scale * worst if worst > NOTHING else scale or 1.0
    for column, (h, arrow) in zip(grid.T, display.poses(poses.group), strict=True):
        show_image(column[0], display.pixels(poses.images[h]), arrow.name)
        show_map(column[1], maps[h], "", maps.min(), maps.max())
        drawn = column[2].imshow(differences[h], cmap="RdBu_r", vmin=-limit, vmax=limit)
        for axes in column:
            axes.set_xticks([])
            axes.set_yticks([])
    for row, name in zip(grid, ("image", "map", "turned back,\nless the first"), strict=True):
        row[0].set_ylabel(name, fontsize="small")
    figure.colorbar(drawn, ax=list(grid[2]), shrink=0.9, format="%.0e")
    return figure


def new_figure(width: float, height: float) -> "Figure":
    """Create a figure that needs no display and leaves pyplot's global state alone."""
    matplotlib: ModuleType = import_extra("matplotlib.figure", "a figure")
    return matplotlib.Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: "Figure", path: Path, dpi: int = 110) -> Path:
    """Write a figure with an atomic write, in the format of the file's suffix.

    Raises:
        ValueError: if the suffix is not one of `FORMATS`.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ValueError(f"`path` (={str(path)!r}) must end in .{', .'.join(FORMATS)}")
    # no date, so that the same figure gives the same file
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with atomic_path(path) as partial:
        figure.savefig(partial, format=kind, dpi=dpi, metadata=metadata)
    return path


def show_image(axes: Any, pixels: np.ndarray, title: str = "") -> None:
    """Draw an image in grey levels or colours."""
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axes.set_title(title, fontsize="small", parse_math=False)


def show_map(axes: Any, plane: np.ndarray, title: str, low: float, high: float) -> None:
    """Draw a map on a colour scale from ``low`` to ``high``."""
    axes.imshow(plane, cmap=COLOURS, vmin=low, vmax=high if high > low else low + 1)
    axes.set_title(title, fontsize="small", parse_math=False)


def show_over(axes: Any, pixels: np.ndarray, plane: np.ndarray, title: str) -> None:
    """Draw a map over the grey image."""
    grey = pixels if pixels.ndim == 2 else pixels.mean(-1)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1)
    axes.imshow(plane, cmap=COLOURS, alpha=0.65)
    axes.set_title(title, fontsize="small")


def pose_colours(poses: list[tuple[int, Arrow]]) -> np.ndarray:
    """A colour for each pose, ``(|H|, 3)``: the hue is the direction, mirrored poses are darker."""
    colormaps = import_extra("matplotlib", "a figure").colormaps
    colours = np.empty((len(poses), 3))
    for h, arrow in poses:
        colours[h] = np.array(colormaps["hsv"](arrow.degrees / 360)[:3]) * (0.55 if arrow.mirrored else 0.95)
    return colours


def show_dominant(axes: Any, element_at: np.ndarray, colours: np.ndarray) -> None:
    """Draw each position in the colour of its dominant pose."""
    axes.imshow(colours[element_at])


def draw_arrow(
    axes: Any, arrow: Arrow, colour: Any, at: tuple[float, float] = (0.87, 0.13), length: float = 0.1
) -> None:
    """Draw the arrow of a pose at a position given as fractions of the panel; mirrored poses have a bar at its foot."""
    x, y = at
    # panel coordinates have y upwards
    tip = (x + arrow.x * length, y - arrow.y * length)
    foot = (x - arrow.x * length, y + arrow.y * length)
    style = {"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", tip, foot, xycoords="axes fraction", textcoords="axes fraction", arrowprops=style)
    if arrow.mirrored:
        across = (arrow.y * length / 2, arrow.x * length / 2)
        axes.plot(
            [foot[0] - across[0], foot[0] + across[0]],
            [foot[1] - across[1], foot[1] + across[1]],
            transform=axes.transAxes,
            color=colour,
            lw=1.6,
        )


def _require_single(explanation: Explanation) -> None:
    if explanation.poses.dim() != 3:
        raise ValueError(
            f"`explanation` is of a batch of {len(explanation.poses)} images: explain one image, without batch axis"
        )


def as_arrays(explanation: Explanation, image: Tensor) -> dict[str, np.ndarray]:
    """Arrays for an .npz file, in the network's own axes, without the conversion for display.

    ``image``, ``output``, ``poses``, ``sum``, ``pose_at``, ``strengths``, and ``layer:NAME`` for every module.
    """
    values = {"image": image, **{name: getattr(explanation, name) for name in ("poses", "sum", "pose_at", "strengths")}}
    values |= {f"layer:{name}": value for name, value in explanation.layers.items()}
    if isinstance(explanation.output, Tensor):
        values["output"] = explanation.output
    return {name: value.detach().cpu().numpy() for name, value in values.items()}
