"""Preprocessing: an upright image to the input of a network.

1. The image gets the network's number of channels: grey is repeated, RGB becomes its luma (ITU-R 601).
2. It gets the network's size, with the aspect ratio kept (`attentive_gconv.resizing`).
3. If the network takes images with rows and columns exchanged (stored axes), they are.
4. The mean is subtracted and the result divided by the std.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attentive_gconv.models.registry import model_entry
from attentive_gconv.models.shipped_cards import pretrained_card
from attentive_gconv.resizing import Fit, resize

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class ImageTransform:
    """Preprocessing of the images of a network; a callable, as torchvision's transforms are.

    Attributes:
        image_shape: ``(C, Y, X)`` of the network's input.
        mean, std: one number a channel, of pixels in [0, 1].
        transposed: whether the network takes images with rows and columns exchanged.

    Example:
        >>> import torch
        >>> transform = ImageTransform((1, 28, 28), mean=(0.13,), std=(0.31,))
        >>> transform(torch.rand(3, 40, 30)).shape
        torch.Size([1, 28, 28])
    """

    image_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    transposed: bool = False

    def __call__(self, image: Any, *, fit: Fit = "pad") -> Tensor:
        """Preprocess an image.

        Args:
            image: upright; a tensor ``(C, Y, X)`` or a batch ``(B, C, Y, X)``, floating-point in [0, 1] or uint8; or a
                PIL image without transparency (`attentive_gconv.inference.read_image` reads files of any kind).
            fit: what to do with images of another shape, ``"pad"`` or ``"crop"``.

        Returns:
            ``image_shape``, with the batch axis in front if there is one; float32, or the image's floating-point dtype.

        Raises:
            ValueError: if the image has another number of axes or channels, another dtype, or transparency.
        """
        pixels = _pixels(image)
        if pixels.dim() == 4 and len(pixels) > 0:
            return torch.stack([self(each, fit=fit) for each in pixels])
        if pixels.dim() == 4:
            return pixels.new_empty((0, *self.image_shape))
        if pixels.dim() != 3:
            raise ValueError(f"`image` must be (C, Y, X) or (B, C, Y, X), got shape {tuple(pixels.shape)}")
        channels, height, width = self.image_shape
        if self.transposed:
            # fitted upright, transposed afterwards
            height, width = width, height
        pixels = resize(_with_channels(pixels, channels), height, width, fit)
        if self.transposed:
            pixels = pixels.transpose(-2, -1)
        mean, std = (pixels.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return ((pixels - mean) / std).contiguous()


def transform(name: str, *, in_channels: int | None = None) -> ImageTransform:
    """Preprocessing of the network that ``create_model(name, pretrained=True)`` gives.

    Args:
        name: one of `attentive_gconv.list_pretrained`, or its network alone.
        in_channels: as given to `create_model`; the mean and std of another number of channels are their averages.

    Returns:
        A callable from an upright image to the network's input; its attributes are size, mean and std.

    Raises:
        ValueError: if no weights of that name come with the package; the message offers the nearest.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model, transform = ag.create_model("p4cnn", pretrained=True), ag.models.transform("p4cnn")
        >>> model(transform(torch.rand(1, 28, 28))[None]).shape
        torch.Size([1, 10])
    """
    card = pretrained_card(name)
    channels, *size = model_entry(card["model"]).image_shape
    mean, std = card["mean"], card["std"]
    if in_channels is not None and in_channels != channels:
        channels, mean, std = in_channels, *([sum(v) / len(v)] * in_channels for v in (mean, std))
    # the weights of transposed images are made to take upright ones, see `attentive_gconv.nn.transpose_kernels_`
    return ImageTransform((channels, *size), tuple(mean), tuple(std))


def _pixels(image: Any) -> Tensor:
    if not isinstance(image, Tensor):
        mode = getattr(image, "mode", None)
        if mode not in ("1", "L", "P", "RGB"):
            raise ValueError(
                f"`image` (={type(image).__name__}, mode {mode}) must be a tensor or a PIL image of mode L or RGB: "
                "convert it, as with image.convert('RGB')"
            )
        if "transparency" in image.info:
            raise ValueError(
                "`image` has transparent pixels: blend them with a background first, or read the file with "
                "attentive_gconv.inference.read_image, which blends them with white"
            )
        array = np.array(image.convert("RGB" if image.mode in ("P", "RGB") else "L"))
        image = torch.from_numpy(array)
        image = image[None] if image.dim() == 2 else image.permute(2, 0, 1)
    if not (image.is_floating_point() or image.dtype == torch.uint8):
        raise ValueError(f"`image` has dtype {image.dtype}: give floating-point values in [0, 1], or uint8")
    pixels: Tensor = image if image.is_floating_point() else image.float() / 255
    return pixels


def _with_channels(pixels: Tensor, channels: int) -> Tensor:
    found = pixels.shape[0]
    if found == channels:
        return pixels
    if found == 1:
        return pixels.expand(channels, -1, -1)
    if found == 3 and channels == 1:
        return (pixels * pixels.new_tensor(LUMA).view(3, 1, 1)).sum(0, keepdim=True)
    raise ValueError(f"`image` has {found} channels, and the network takes {channels}: convert it first")
