"""Animated GIF of a full turn: the image, its attention map, and the equivariance error over the angle."""

from pathlib import Path

import numpy as np

from attentive_gconv.data.extras import import_extra
from attentive_gconv.files import atomic_path
from attentive_gconv.visualize.attention_figures import new_figure, show_image, show_map
from attentive_gconv.visualize.display import Display
from attentive_gconv.visualize.turning import FullTurn

MILLISECONDS = 80
COLOURS = 64


class TurnFigure:
    """Figure of one step of a full turn; all steps have the same scales.

    Args:
        turn: the full turn.
        display: conversion of images and maps.
        name: name of the network, the title of the map.
        classes: names of the classes; if given, the prediction is the title of the image.
    """

    def __init__(self, turn: FullTurn, display: Display, name: str = "", classes: tuple[str, ...] = ()) -> None:
        self.turn, self.display, self.classes = turn, display, classes
        self.maps = display.plane(turn.maps)
        self.figure = new_figure(7.2, 2.6)
        self.image, self.map, curve = self.figure.subplots(1, 3, width_ratios=(1, 1, 1.4))
        show_image(self.image, display.pixels(turn.images[0]), self._title(0))
        show_map(self.map, self.maps[0], name, self.maps.min(), self.maps.max())
        for axes in (self.image, self.map):
            axes.set_axis_off()
        errors = turn.errors.numpy()
        top = max(1e-3, float(errors.max()))
        curve.plot(turn.degrees, errors, color="tab:blue", lw=1.2)
        (self.point,) = curve.plot([0], errors[:1], "o", color="tab:red")
        curve.set_xticks([0, 90, 180, 270, 360])
        curve.set_ylim(-0.03 * top, 1.08 * top)
        curve.set_xlabel("angle in degrees", fontsize="small")
        curve.set_title("equivariance error of the map", fontsize="small")
        curve.tick_params(labelsize="small")
        curve.grid(alpha=0.3)

    def show(self, step: int) -> None:
        """Draw another step: image, map and point on the curve."""
        self.image.images[0].set_data(self.display.pixels(self.turn.images[step]))
        self.image.title.set_text(self._title(step))
        self.map.images[0].set_data(self.maps[step])
        self.point.set_data([self.turn.degrees[step]], [self.turn.errors[step]])

    def _title(self, step: int) -> str:
        angle = f"{self.turn.degrees[step]:.0f}°"
        if not self.classes:
            return angle
        best = self.turn.outputs[step].softmax(-1).max(-1)
        return f"{angle}: {self.classes[int(best.indices)]}, {100 * float(best.values):.0f} %"


def save_turn(
    turn: FullTurn,
    path: Path,
    display: Display | None = None,
    name: str = "",
    classes: tuple[str, ...] = (),
    dpi: int = 80,
) -> Path:
    """Write a full turn as an animated GIF, with an atomic write.

    Args:
        turn, display, name, classes: as in `TurnFigure`.
        path: a .gif file.
        dpi: dots per inch.

    Raises:
        ValueError: if the name does not end in .gif.
    """
    if path.suffix.lower() != ".gif":
        raise ValueError(f"`path` (={str(path)!r}) must end in .gif")
    canvas_module = import_extra("matplotlib.backends.backend_agg", "an animation")
    pillow = import_extra("PIL.Image", "an animation")
    shown = TurnFigure(turn, display or Display(), name, classes)
    shown.figure.set_dpi(dpi)
    canvas = canvas_module.FigureCanvasAgg(shown.figure)
    frames = []
    for step in range(len(turn.degrees)):
        shown.show(step)
        canvas.draw()
        # keep the layout of the first frame: nothing jumps, and computing a layout is slow
        shown.figure.set_layout_engine("none")
        frames.append(pillow.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()).quantize(COLOURS))
    with atomic_path(path) as partial:
        frames[0].save(
            partial, format="GIF", save_all=True, append_images=frames[1:], duration=MILLISECONDS, loop=0, optimize=True
        )
    return path
