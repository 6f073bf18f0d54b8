"""Rotation of images by any angle, and randomly rotated datasets."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_BATCH = 2000


def rotate_images(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate each image about its centre, with bilinear interpolation and zero padding.

    A positive angle turns the same way as ``torch.rot90(image, 1, (-2, -1))``: counter-clockwise to the eye.

    Args:
        images: float32 ``(N, C, Y, X)``.
        degrees: one angle for each image, ``(N,)``.

    Returns:
        Tensor: ``(N, C, Y, X)`` on the images' device; on the CPU bit-identical for any number of threads.

    Example:
        >>> image = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).reshape(1, 1, 2, 2)
        >>> rotate_images(image, torch.tensor([90.0])).round()[0, 0]
        tensor([[1., 0.],
                [0., 0.]])
    """
    height, width = images.shape[-2:]
    # centred pixel coordinates; torch's affine_grid is a matrix product, whose rounding may depend on the number of
    # threads
    y = (torch.arange(height, dtype=torch.float32, device=images.device) - (height - 1) / 2)[:, None]
    x = (torch.arange(width, dtype=torch.float32, device=images.device) - (width - 1) / 2)[None, :]
    radians = torch.deg2rad(degrees.to(images.device).double())
    cosines, sines = radians.cos().float(), radians.sin().float()
    rotated = torch.empty_like(images)
    for start in range(0, len(images), _BATCH):
        chunk = slice(start, start + _BATCH)
        cosine, sine = cosines[chunk, None, None], sines[chunk, None, None]
        # the source of each pixel, in the coordinates of grid_sample, where half an extent is 1
        from_x = (cosine * x - sine * y) * (2 / width)
        from_y = (sine * x + cosine * y) * (2 / height)
        rotated[chunk] = F.grid_sample(
            images[chunk], torch.stack((from_x, from_y), -1), mode="bilinear", padding_mode="zeros", align_corners=False
        )
    return rotated


def shuffled_and_rotated(images: Tensor, labels: Tensor, seed: int, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Shuffle images and rotate the first ``count`` by angles uniform in [0°, 360°).

    Args:
        images: ``(N, C, Y, X)``; uint8 is scaled to [0, 1], float32 is left as it is.
        labels: ``(N,)``.
        seed: seed of the order and the angles.
        count: number of images; by default all.

    Returns:
        tuple: float32 images ``(count, C, Y, X)`` and int64 labels ``(count,)``.
    """
    # the only generator whose numbers are guaranteed to be the same in all versions of numpy
    random = np.random.RandomState(seed)
    chosen = torch.from_numpy(random.permutation(len(images))[:count])
    degrees = torch.from_numpy(random.uniform(0.0, 360.0, len(chosen)))
    picked = images[chosen]
    if picked.dtype == torch.uint8:
        picked = picked.float().div_(255)
    return rotate_images(picked, degrees), labels[chosen].long()
