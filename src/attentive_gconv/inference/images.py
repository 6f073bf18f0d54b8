"""Image files as a network's input: PNG and JPEG of any size and colour mode.

Steps of the conversion:

1. The file is read by `attentive_gconv.data.image_file`: upright, with one channel (luma) or three (RGB), values in
   [0, 1].
2. ``invert``: every value v becomes 1 - v, for dark strokes on white where the network was trained on light strokes on
   black.
3. The image is resized to the network's size with the aspect ratio kept, ``fit="pad"`` or ``fit="crop"``.
4. If the network was trained on images stored columns first (rot-MNIST), rows and columns are exchanged.
5. The image is standardised with the mean and std of the training set.
"""

from pathlib import Path

from torch import Tensor

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.data.image_file import read_pixels
from attentive_gconv.models import ImageTransform
from attentive_gconv.resizing import Fit
from attentive_gconv.settings import ConfigError


def read_image(path: str | Path, card: ModelCard, *, invert: bool = False, fit: Fit = "pad") -> Tensor:
    """Read an image file as the input of a card's network.

    Args:
        path: a PNG or JPEG file.
        card: the model card.
        invert: exchange light and dark.
        fit: how images of another shape are resized, see above.

    Returns:
        float32 ``(C, Y, X)``.

    Raises:
        ImageError: if the file is missing, not a PNG or JPEG file, damaged, or larger than 50 million pixels.
        ConfigError: if the network takes neither one nor three channels.
    """
    channels = card.image_shape[0]
    if channels not in (1, 3):
        raise ConfigError(f"the network takes images of {channels} channels; image files have 1 or 3")
    return standardised(read_pixels(Path(path), channels), card, invert=invert, fit=fit)


def standardised(pixels: Tensor, card: ModelCard, *, invert: bool = False, fit: Fit = "pad") -> Tensor:
    """Convert an upright image ``(C, Y, X)`` in [0, 1] to the input of a card's network: steps 2 to 5 above.

    Args:
        pixels: with one or three channels, as read by `attentive_gconv.data.image_file.read_pixels`.
        card, invert, fit: as in `read_image`.
    """
    transform = ImageTransform(card.image_shape, card.mean, card.std, card.transposed)
    return transform(1 - pixels if invert else pixels, fit=fit)
