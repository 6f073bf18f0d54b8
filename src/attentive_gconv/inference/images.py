"""Image files as a network's input: PNG and JPEG of any size and colour mode.

The conversion, in this order:

1. The file is read as `attentive_gconv.data.image_file` says: upright, with one channel (the luma) or three (RGB), and
   values in [0, 1].
2. ``invert``: every value v becomes 1 - v, for dark strokes on white where the network knows light strokes on black.
3. The size becomes the network's with the aspect ratio kept, ``fit="pad"`` or ``fit="crop"``.
4. If the dataset stores its images columns first (rot-MNIST does), rows and columns are exchanged.
5. The mean is subtracted and the result divided by the std, both those the network was trained with.
"""

from pathlib import Path

from torch import Tensor

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.data.image_file import read_pixels
from attentive_gconv.models import ImageTransform
from attentive_gconv.resizing import Fit
from attentive_gconv.settings import ConfigError


def read_image(path: str | Path, card: ModelCard, *, invert: bool = False, fit: Fit = "pad") -> Tensor:
    """Read an image file as the network of the card takes it.

    Args:
        path: a PNG or JPEG file.
        card: says size, channels, mean and std, and whether the images are stored columns first.
        invert: exchange light and dark.
        fit: what to do with images of another shape, see above.

    Returns:
        float32 ``(C, Y, X)``.

    Raises:
        ImageError: if the file is missing, no PNG or JPEG, damaged, or larger than 50 million pixels.
    """
    channels = card.image_shape[0]
    if channels not in (1, 3):
        raise ConfigError(f"the network takes images of {channels} channels; image files have 1 or 3")
    return standardised(read_pixels(Path(path), channels), card, invert=invert, fit=fit)


def standardised(pixels: Tensor, card: ModelCard, *, invert: bool = False, fit: Fit = "pad") -> Tensor:
    """Bring an upright image ``(C, Y, X)`` in [0, 1] to what the network of the card takes: steps 2 to 5 above.

    Args:
        pixels: as `read_pixels` gives them.
        card, invert, fit: as in `read_image`.
    """
    transform = ImageTransform(card.image_shape, card.mean, card.std, card.transposed)
    return transform(1 - pixels if invert else pixels, fit=fit)
