"""Data augmentation by transforms of one image: torchvision's by name, and any callable."""

import random

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from attentive_gconv.data import load_dataset
from attentive_gconv.data.augmentation import Transformed, find_augmentation, make_augmentation

IMAGES = torch.rand(4, 3, 8, 8)


class Draws:
    """A transform that draws from every generator."""

    def __call__(self, image):
        return image * torch.rand(1) + float(np.random.rand()) + random.random()


def test_a_class_of_torchvision_by_name():
    transform = find_augmentation("RandomRotation", {"degrees": 180})
    assert type(transform) is v2.RandomRotation
    assert type(find_augmentation("torchvision.transforms.v2.RandomErasing")) is v2.RandomErasing
    assert find_augmentation("flip-crop") == "flip-crop"


def test_changes_depend_on_the_seed_and_the_position_alone():
    augmentation = Transformed(4, Draws())
    augmentation.draw_from(3)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    together = augmentation(IMAGES, range(4))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    one_by_one = [augmentation(IMAGES[[i]], [i])[0] for i in reversed(range(4))]
    assert torch.equal(together, torch.stack(one_by_one[::-1]))
    augmentation.draw_from(4)
    assert not torch.equal(augmentation(IMAGES, range(4)), together)
    drawn = Transformed(4, Draws())
    assert not torch.equal(drawn(IMAGES, range(4)), drawn(IMAGES, range(4)))  # anew whenever it is read


def test_the_transform_sees_pixels_in_the_unit_interval():
    seen = []

    def note(image):
        seen.append((float(image.min()), float(image.max())))
        return 1 - image

    splits = load_dataset("digits", augmentation=note)
    plain = load_dataset("digits")
    image = splits.train[3][0]
    assert seen[0] == pytest.approx((0.0, 1.0), abs=0.2)
    pixels = plain.train[3][0] * plain.std[0] + plain.mean[0]
    torch.testing.assert_close(image, ((1 - pixels) - plain.mean[0]) / plain.std[0], atol=1e-5, rtol=1e-5)
    assert splits.augmentation == "note"
    assert torch.equal(splits.test[0][0], plain.test[0][0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("RandomRotations", {}, r"unknown augmentation 'RandomRotations': did you mean 'RandomRotation'"),
        ("RandomRotation", {"degree": 3}, "unknown field 'augmentation_options.degree': did you mean .*degrees"),
        ("RandomRotation", {}, r"refuses `augmentation_options` \(={}\)"),
        ("RandomRotation", {"degrees": -3}, "refuses `augmentation_options`"),
        ("rotation", {"degrees": 3}, "have no meaning for augmentation 'rotation'"),
        ("torch.load", {"f": "x"}, "unknown "),
        ("numpy.save", {"file": "x", "arr": 1}, "unknown "),
        ("own_module.Blur", {}, "add --import own_module"),
    ],
)
def test_bad_names_and_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        find_augmentation(name, options)


def test_a_transform_must_keep_the_shape():
    augmentation = make_augmentation(v2.Resize(4), 4)
    with pytest.raises(ValueError, match=r"gives torch.float32 \(3, 4, 4\) for an image torch.float32 \(3, 8, 8\)"):
        augmentation(IMAGES, range(4))
    with pytest.raises(ValueError, match="gives NoneType for an image"):
        make_augmentation(lambda image: None, 4)(IMAGES, range(4))
