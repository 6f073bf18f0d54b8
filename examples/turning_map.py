"""Draw the start page's figure: a digit and what the attention keeps of it, turning together. A GIF.

    python examples/turning_map.py --out docs/figures/turning.gif

The network is the α_F-p4-CNN that comes with the package; the map is the spatial attention of its second layer, 1 - α,
averaged over the poses. Nothing is downloaded: the digit is drawn with a font of matplotlib.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.visualize.turning import turn

NETWORK, LAYER = "alpha_f_p4cnn", "c2.attention.spatial_attention"
SIDE, STEPS, GAP = 160, 48, 10


def digit(text: str) -> Tensor:
    """White on black, as in MNIST: ``(1, 28, 28)`` in [0, 1]."""
    image = Image.new("L", (28, 28))
    pen, font = ImageDraw.Draw(image), ImageFont.truetype(findfont("DejaVu Sans"), 22)
    pen.text((14, 14), text, fill=255, font=font, anchor="mm", stroke_width=0)
    return torch.from_numpy(np.asarray(image).copy()).float()[None] / 255


def kept(images: Tensor) -> Tensor:
    """The attention map of each image ``(B, 1, 28, 28)``, upright: ``(B, Y, X)``."""
    model, transform = ag.create_model(NETWORK, pretrained=True), ag.models.transform(NETWORK)
    return ag.attention_maps(model, transform(images))[LAYER].mean((1, 2))


def panel(values: Tensor, colours: str) -> Image.Image:
    """One map as an image of its colours."""
    pixels = (colormaps[colours](values.numpy())[..., :3] * 255).astype("uint8")
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def main() -> None:
    """Read the command line, compute and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="a .gif file")
    parser.add_argument("--digit", default="5", help="what is drawn")
    arguments = parser.parse_args()
    images = turn(digit(arguments.digit), torch.arange(STEPS) * 360.0 / STEPS, torch.zeros(1))
    maps = kept(images)
    maps = (maps - maps.min()) / (maps.max() - maps.min())
    frames = []
    for image, attention in zip(images[:, 0], maps, strict=True):
        frame = Image.new("RGB", (2 * SIDE + GAP, SIDE), "white")
        frame.paste(panel(image, "gray"), (0, 0))
        frame.paste(panel(attention, "magma"), (SIDE + GAP, 0))
        frames.append(frame.quantize(32, dither=Image.Dither.NONE))
    frames[0].save(arguments.out, save_all=True, append_images=frames[1:], duration=80, loop=0, optimize=True)


if __name__ == "__main__":
    main()
