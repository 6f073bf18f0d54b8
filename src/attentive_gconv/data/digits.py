"""scikit-learn's digits, rotated by random angles: a rotated dataset that needs no download.

The 1,797 images of 8×8 pixels are padded with one dark pixel and enlarged to 28×28, so that a rotated digit stays
within the image.
"""

import torch
import torch.nn.functional as F

from attentive_gconv.data.extras import import_extra
from attentive_gconv.data.mnist import CLASSES
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.rotation import shuffled_and_rotated
from attentive_gconv.data.splits import DataSplits, LabelledImages, splits_in_memory

SOURCES = {"auto": "the only source there is", "embedded": "the images that are part of scikit-learn"}

_SIDE = 28
_TRAIN, _HELD_OUT = 1400, 200


def load_digits(request: LoadRequest) -> DataSplits:
    """Load the rotated digits: 1,200 training, 200 validation and 397 test images.

    The request's data folder is not used. Its seed determines the order of the digits and their angles.
    """
    bunch = import_extra("sklearn.datasets", "the dataset 'digits'").load_digits()
    small = torch.from_numpy(bunch.images).float()[:, None] / 16
    pool = F.interpolate(F.pad(small, (1,) * 4), size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
    images, labels = shuffled_and_rotated(pool, torch.from_numpy(bunch.target), request.seed)
    return splits_in_memory(
        LabelledImages(images[:_TRAIN], labels[:_TRAIN]),
        LabelledImages(images[_TRAIN:], labels[_TRAIN:]),
        held_out=_HELD_OUT,
        protocol=request.protocol,
        augmentation=request.augmentation,
        name="digits",
        description=f"scikit-learn's digits, enlarged and turned by random angles, seed {request.seed}",
        source="embedded",
        classes=CLASSES,
    )
