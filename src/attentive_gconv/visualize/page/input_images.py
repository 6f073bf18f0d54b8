"""Drawings, uploads and examples as pixels: float32 ``(3, Y, X)`` in [0, 1], upright; digits light on dark."""

import base64
import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from attentive_gconv.data.image_file import ImageError, read_pixels

# the server keeps an image for every visitor
LARGEST_SIDE = 512
MAX_UPLOAD = 10 << 20
MAX_DRAWING = 1 << 20
CANVAS = 280
PEN = 24
# strokes of digits as (x, y) on a canvas of 100 x 100
EXAMPLES: dict[str, list[list[tuple[int, int]]]] = {
    "2": [[(32, 38), (36, 26), (50, 20), (64, 27), (66, 40), (54, 56), (32, 78), (70, 78)]],
    "3": [[(33, 26), (50, 20), (65, 28), (63, 42), (48, 49), (65, 56), (68, 70), (52, 80), (32, 74)]],
    "4": [[(58, 82), (58, 20), (28, 62), (74, 62)]],
    "6": [[(60, 18), (44, 34), (35, 54), (37, 72), (50, 81), (64, 73), (64, 58), (52, 51), (38, 58)]],
    "7": [[(30, 22), (68, 22), (54, 48), (46, 80)]],
}


def example(name: str) -> Tensor:
    """Draw an example digit of `EXAMPLES`."""
    canvas = Image.new("L", (CANVAS, CANVAS))
    pen = ImageDraw.Draw(canvas)
    scale, radius = CANVAS / 100, PEN / 2
    for stroke in EXAMPLES[name]:
        points = [(x * scale, y * scale) for x, y in stroke]
        pen.line(points, fill=255, width=PEN, joint="curve")
        for x, y in (points[0], points[-1]):
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return _grey(np.asarray(canvas, dtype=np.float32) / 255)


def drawn(board: str | None) -> Tensor | None:
    """Decode a drawing, light on dark; None for an empty board.

    Args:
        board: a PNG as a data URL: dark strokes on white.

    Raises:
        ImageError: if it is anything else, which only another program than the page can send.
    """
    if not board:
        return None
    head, _, content = board.partition(",")
    if head != "data:image/png;base64" or len(content) > MAX_DRAWING:
        raise ImageError("that is no drawing of this page")
    try:
        board_image = Image.open(io.BytesIO(base64.b64decode(content, validate=True)), formats=("PNG",))
        if max(board_image.size) > LARGEST_SIDE:
            raise ImageError(f"a drawing of {board_image.width} x {board_image.height} pixels is none of this page")
        ink = 1 - np.asarray(board_image.convert("L"), dtype=np.float32) / 255
    except ImageError:
        raise
    # Pillow's reader raises nearly anything on damaged files
    except Exception as error:
        raise ImageError("the drawing is damaged") from error
    return _grey(ink) if ink.max() > 0 else None


def uploaded(path: Path) -> Tensor:
    """Read an uploaded image file, scaled down to `LARGEST_SIDE`.

    Raises:
        ImageError: if the file is no PNG or JPEG, is damaged, or has too many pixels.
    """
    pixels = read_pixels(path, 3)
    longest = max(pixels.shape[-2:])
    if longest > LARGEST_SIDE:
        size = [max(1, round(side * LARGEST_SIDE / longest)) for side in pixels.shape[-2:]]
        pixels = F.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]
    return pixels


def _grey(plane: np.ndarray) -> Tensor:
    return torch.from_numpy(plane).expand(3, -1, -1).clone()
