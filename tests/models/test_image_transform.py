"""Preprocessing of the shipped networks, beside that of image files."""

import numpy as np
import pytest
import torch
from PIL import Image

import attentive_gconv as ag
from attentive_gconv.checkpoints import open_model, pretrained_card
from attentive_gconv.inference import read_image
from attentive_gconv.models import ImageTransform


@pytest.mark.parametrize("name", ag.list_pretrained())
def test_it_is_the_preprocessing_of_image_files(name, tmp_path):
    image = Image.radial_gradient("L").resize((40, 28))
    image.save(tmp_path / "x.png")
    transform, card = ag.models.transform(name), open_model(name).trained.card
    assert (transform.image_shape, transform.transposed) == (card.image_shape, card.transposed) == ((1, 28, 28), False)
    assert list(transform.mean) == pretrained_card(name)["mean"]
    expected = read_image(tmp_path / "x.png", card)
    assert torch.equal(transform(image), expected)
    assert torch.equal(transform(torch.from_numpy(np.array(image))[None]), expected)


def test_shapes_channels_and_dtypes():
    transform = ImageTransform((3, 8, 8), (0.5,) * 3, (0.25,) * 3)
    grey = torch.rand(1, 8, 8, dtype=torch.float64)
    assert torch.equal(transform(grey), (grey.expand(3, 8, 8) - 0.5) / 0.25)
    batch = torch.rand(2, 3, 12, 12)
    assert torch.equal(transform(batch)[1], transform(batch[1]))
    assert transform(batch[:0]).shape == (0, 3, 8, 8)
    assert transform(Image.new("P", (9, 5))).shape == (3, 8, 8)
    luma = ImageTransform((1, 8, 8), (0.0,), (1.0,))(torch.eye(3)[:, :, None].expand(3, 3, 8).repeat(1, 3, 1)[:, :8])
    assert luma[0, :3, 0].tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_stored_axes():
    image = torch.rand(1, 4, 6)
    stored = ImageTransform((1, 6, 4), (0.0,), (1.0,), transposed=True)
    assert torch.equal(stored(image), image.mT)


def test_other_channels_have_the_average_mean_and_std():
    transform = ag.models.transform("p4cnn", in_channels=3)
    (mean,) = set(transform.mean)
    assert (transform.image_shape, [mean]) == ((3, 28, 28), pretrained_card("p4cnn")["mean"])


def with_transparency():
    image = Image.new("P", (8, 8))
    image.info["transparency"] = 0
    return image


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.rand(8, 8), r"must be \(C, Y, X\)"),
        (torch.rand(2, 8, 8), "has 2 channels, and the network takes 3"),
        (Image.new("RGBA", (8, 8)), r"mode RGBA\) must be a tensor or a PIL image of mode L or RGB"),
        (3, "must be a tensor or a PIL image"),
        (with_transparency(), "has transparent pixels: blend them"),
        (
            torch.ones(3, 8, 8, dtype=torch.int64),
            r"has dtype torch\.int64: give floating-point values in \[0, 1\], or uint8",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        ImageTransform((3, 8, 8), (0.5,) * 3, (0.25,) * 3)(image)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="did you mean 'p4cnn'"):
        ag.models.transform("p4cn")
