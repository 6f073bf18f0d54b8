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
        images: float32 [N, C, Y, X].
        degrees: float64 [N].

    Returns:
        Tensor: [N, C, Y, X], the same to the last bit for any number of threads.

    Example:
        >>> image = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).reshape(1, 1, 2, 2)
        >>> rotate_images(image, torch.tensor([90.0])).round()[0, 0]
        tensor([[1., 0.],
                [0., 0.]])
    """
    height, width = images.shape[-2:]
    # centred pixel coordinates; the affine_grid of torch would take them through a matrix product, whose rounding
    # may follow the number of threads, and products of single numbers do not
    y = (torch.arange(height, dtype=torch.float32) - (height - 1) / 2)[:, None]
    x = (torch.arange(width, dtype=torch.float32) - (width - 1) / 2)[None, :]
    radians = torch.deg2rad(degrees.double())
    cosines, sines = radians.cos().float(), radians.sin().float()
    rotated = torch.empty_like(images)
    for part in torch.arange(len(images)).split(_BATCH):
        cosine, sine = cosines[part, None, None], sines[part, None, None]
        # where each pixel of the turned image comes from; grid_sample wants the half extents to be 1
        from_x = (cosine * x - sine * y) * (2 / width)
        from_y = (sine * x + cosine * y) * (2 / height)
        rotated[part] = F.grid_sample(
            images[part], torch.stack((from_x, from_y), -1), mode="bilinear", padding_mode="zeros", align_corners=False
        )
    return rotated


def shuffled_and_rotated(images: Tensor, labels: Tensor, seed: int, count: int | None = None) -> tuple[Tensor, Tensor]:
    """Shuffle images and rotate the first ``count`` by angles uniform in [0°, 360°).

    Args:
        images: [N, C, Y, X]; uint8 is taken as 0..255 and scaled to [0, 1], float32 is left as it is.
        labels: [N].
        seed: of the shuffling and the angles.
        count: how many, by default all.

    Returns:
        tuple: float32 images [count, C, Y, X] and int64 labels [count].
    """
    # numpy guarantees RandomState's numbers for all its versions, which neither its Generator nor torch's does
    random = np.random.RandomState(seed)
    chosen = torch.from_numpy(random.permutation(len(images))[:count])
    degrees = torch.from_numpy(random.uniform(0.0, 360.0, len(chosen)))
    picked = images[chosen]
    if picked.dtype == torch.uint8:
        picked = picked.float().div_(255)
    return rotate_images(picked, degrees), labels[chosen].long()
