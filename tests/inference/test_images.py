import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attentive_gconv.checkpoints.weights import ModelCard
from attentive_gconv.data.image_file import MAX_PIXELS, ImageError, read_pixels
from attentive_gconv.inference.images import read_image
from attentive_gconv.settings import ConfigError

GREY = ModelCard(
    model="p4cnn",
    options={},
    classes=("a", "b"),
    image_shape=(1, 8, 8),
    mean=(0.0,),
    std=(1.0,),
    dataset="digits",
    source="embedded",
    dataset_seed=0,
    protocol="validation",
    epoch=1,
    transposed=False,
)
COLOUR = replace(GREY, image_shape=(3, 8, 8), mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.fixture
def ramp() -> np.ndarray:
    """8 x 8 values without any symmetry."""
    return (np.arange(64, dtype=np.uint8) * 4).reshape(8, 8)


def save(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def test_a_grey_image_of_the_right_size_is_left_as_it_is(tmp_path, ramp):
    path = save(Image.fromarray(ramp), tmp_path / "a.png")
    assert torch.equal(read_image(path, GREY), torch.from_numpy(ramp / np.float32(255))[None])


def test_it_is_standardised_with_the_figures_of_the_training(tmp_path, ramp):
    path = save(Image.fromarray(ramp), tmp_path / "a.png")
    card = replace(GREY, mean=(0.25,), std=(0.5,))
    torch.testing.assert_close(read_image(path, card), (read_image(path, GREY) - 0.25) / 0.5)


def test_invert_exchanges_light_and_dark(tmp_path, ramp):
    path = save(Image.fromarray(ramp), tmp_path / "a.png")
    assert torch.equal(read_image(path, GREY, invert=True), 1 - read_image(path, GREY))


def test_an_upright_image_is_transposed_for_a_dataset_that_stores_columns_first(tmp_path, ramp):
    path = save(Image.fromarray(ramp), tmp_path / "a.png")
    card = replace(GREY, transposed=True)
    assert torch.equal(read_image(path, card), read_image(path, GREY).mT)


def test_a_wide_image_for_such_a_dataset_is_fitted_upright(tmp_path):
    wide = np.zeros((4, 16), dtype=np.uint8)
    wide[:, 8:] = 255
    path = save(Image.fromarray(wide), tmp_path / "a.png")
    oblong = replace(GREY, image_shape=(1, 16, 4), transposed=True)
    assert torch.equal(read_image(path, oblong)[0], torch.from_numpy(wide / np.float32(255)).T)


def test_colour_becomes_luma_and_grey_becomes_colour(tmp_path, ramp):
    red = save(Image.new("RGB", (8, 8), (255, 0, 0)), tmp_path / "red.png")
    assert read_image(red, GREY).unique().tolist() == pytest.approx([0.299], abs=2e-3)
    assert read_image(red, COLOUR)[:, 0, 0].tolist() == [1, 0, 0]
    grey = save(Image.fromarray(ramp), tmp_path / "grey.png")
    assert torch.equal(read_image(grey, COLOUR), read_image(grey, GREY).expand(3, 8, 8))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "RGBA", "I;16"])
def test_white_is_white_in_every_mode_of_png(tmp_path, mode):
    value = {"1": 1, "I;16": 65535}.get(mode, "white")
    path = save(Image.new(mode, (8, 8), value), tmp_path / "a.png")
    assert torch.equal(read_image(path, GREY), torch.ones(1, 8, 8))
    assert torch.equal(read_image(path, COLOUR), torch.ones(3, 8, 8))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_white_is_white_in_every_mode_of_jpeg(tmp_path, mode):
    path = save(Image.new("RGB", (8, 8), "white").convert(mode), tmp_path / "a.jpg")
    assert read_image(path, GREY).min() > 0.99


def test_16_bits_of_grey_are_kept(tmp_path):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000 + 7
    path = save(Image.fromarray(values), tmp_path / "a.png")
    torch.testing.assert_close(read_image(path, GREY)[0], torch.from_numpy(values.astype(np.float32) / 65535))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_parts_are_laid_on_white(tmp_path, mode):
    image = Image.new(mode, (8, 8), (0, 0) if mode == "LA" else (0, 0, 0, 0))
    image.paste((0, 255) if mode == "LA" else (0, 0, 0, 255), (0, 0, 4, 8))
    pixels = read_image(save(image, tmp_path / "a.png"), GREY)[0]
    assert pixels[:, :4].max() == 0
    assert pixels[:, 4:].min() == 1


def test_a_transparent_colour_of_a_palette_is_laid_on_white(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    path = save(image, tmp_path / "a.png", transparency=0)
    assert read_image(path, GREY).min() == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    upright = Image.new("L", (16, 8), 0)
    upright.paste(255, (0, 0, 8, 4))
    # how a camera stores the upright image for each orientation: the inverse of what a viewer has to do
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(stored, tmp_path / "a.jpg", exif=exif, quality=100)
    expected = torch.from_numpy(np.asarray(upright) / np.float32(255))
    torch.testing.assert_close(read_pixels(path, 1)[0], expected, atol=0.02, rtol=0)


def test_an_image_of_another_shape_is_padded_with_the_colour_of_its_border(tmp_path):
    wide = Image.new("RGB", (32, 16), (255, 255, 0))
    wide.paste((0, 0, 255), (8, 4, 24, 12))
    pixels = read_image(save(wide, tmp_path / "a.png"), COLOUR)
    # scaled to 8 x 4: two rows of border colour above and below
    for row in (0, 1, 6, 7):
        assert pixels[:, row].T.tolist() == [[1, 1, 0]] * 8
    # the middle holds the blue part, as wide as it was to the whole
    assert pixels[2, 4].round().tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_an_image_of_another_shape_is_cropped_to_its_centre(tmp_path):
    tall = Image.new("L", (16, 48), 0)
    tall.paste(255, (0, 16, 16, 32))
    path = save(tall, tmp_path / "a.png")
    assert read_image(path, GREY, fit="crop").min() > 0.4
    assert read_image(path, GREY, fit="crop")[0, 1:-1].min() > 0.99
    assert read_image(path, GREY, fit="pad").min() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 7), (8, 9), (300, 200)])
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_any_size_becomes_the_networks(tmp_path, size, fit):
    path = save(Image.new("L", size, 128), tmp_path / "a.png")
    pixels = read_image(path, GREY, fit=fit)
    assert pixels.shape == (1, 8, 8)
    torch.testing.assert_close(pixels, torch.full_like(pixels, 128 / 255))


def test_scaling_down_averages(tmp_path):
    board = np.indices((64, 64)).sum(0) % 2 * 255
    path = save(Image.fromarray(board.astype(np.uint8)), tmp_path / "a.png")
    torch.testing.assert_close(read_image(path, GREY), torch.full((1, 8, 8), 0.5), atol=0.02, rtol=0)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds next to nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
def test_an_image_that_would_fill_the_memory_is_refused(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(ImageError, match=r"bomb\.png: .* more than 50,000,000.*scale it down"):
        read_image(path, GREY)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_truncated_image_is_refused(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = save(Image.fromarray(noise), tmp_path / f"half.{kind}")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ImageError, match=rf"half\.{kind}: the image is damaged"):
        read_image(path, GREY)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a" + bytes(50)])
def test_what_is_no_image_is_refused(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.png: "):
        read_image(path, GREY)


def test_other_formats_are_not_opened(tmp_path):
    path = save(Image.new("L", (8, 8)), tmp_path / "a.bmp")
    with pytest.raises(ImageError, match="no PNG or JPEG"):
        read_image(path, GREY)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ImageError, match="there is no such file"):
            read_image(path, GREY)


def test_networks_of_two_channels_take_no_images(tmp_path):
    card = replace(GREY, image_shape=(2, 8, 8), mean=(0.0, 0.0), std=(1.0, 1.0))
    with pytest.raises(ConfigError, match="2 channels"):
        read_image(tmp_path / "a.png", card)


def test_the_limit_leaves_room_for_photographs():
    assert MAX_PIXELS >= 6000 * 8000
