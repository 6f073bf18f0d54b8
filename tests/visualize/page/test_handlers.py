"""What happens on the page, without a browser: images of every kind, hostile ones among them."""

import base64
import io
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import attentive_gconv as ag
from attentive_gconv.checkpoints import ModelCard, TrainedModel
from attentive_gconv.inference import ImageError
from attentive_gconv.visualize.page import html_panels, input_images
from attentive_gconv.visualize.page.network_view import view_network
from attentive_gconv.visualize.page.server import FIRST, Handlers

DIGITS = tuple("0123456789")


def trained(name: str, **changes: object) -> TrainedModel:
    """A network with new weights, whose maps are there."""
    card = ModelCard(
        model=name, classes=DIGITS, image_shape=(1, 28, 28), mean=(0.13,), std=(0.3,), dataset="rot-mnist",
        source="remade", dataset_seed=0, protocol="validation", epoch=0, transposed=True, options={},
    )  # fmt: skip
    return TrainedModel(ag.create_model(name).eval(), card)


@pytest.fixture(scope="module")
def handlers() -> Handlers:
    torch.manual_seed(0)
    return Handlers({name: trained(name) for name in ("alpha_f_p4cnn", "z2cnn")})


SETTINGS = ("alpha_f_p4cnn", "z2cnn", 0, False, False)
BEFORE = input_images.example("2").numpy()


def data_url(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def test_examples_are_light_strokes_within_the_image():
    for name in input_images.EXAMPLES:
        pixels = input_images.example(name)
        assert pixels.shape == (3, input_images.CANVAS, input_images.CANVAS)
        assert 0.05 < pixels.mean() < 0.4
        assert pixels[:, :20].max() == pixels[:, :, -20:].max() == 0


def test_a_drawing_is_read_light_on_dark(handlers):
    board = Image.new("RGB", (280, 280), "white")
    board.paste("black", (130, 40, 150, 240))
    pixels, left, right, note = handlers.draw(data_url(board), BEFORE, *SETTINGS)
    assert pixels.shape == (3, 280, 280)
    assert pixels[:, 100, 140].min() == 1
    assert pixels[:, 100, 20].max() == 0
    assert "your drawing" in note
    assert "alpha_f_p4cnn (p4)" in left
    assert "z2cnn (z2)" in right
    for empty in (None, "", data_url(Image.new("RGB", (280, 280), "white"))):
        assert np.array_equal(handlers.draw(empty, BEFORE, *SETTINGS)[0], input_images.example(FIRST).numpy())


def test_what_is_no_drawing_is_refused_and_the_image_stays(handlers):
    hostile = [
        "x" * 100,
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/png;base64,!!!!",
        "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\nnothing").decode(),
        "data:image/png;base64," + "A" * (input_images.MAX_DRAWING + 1),
        data_url(Image.new("L", (4000, 4000))),
    ]
    for board in hostile:
        pixels, left, _, note = handlers.draw(board, BEFORE, *SETTINGS)
        assert np.array_equal(pixels, BEFORE)
        assert 'role="alert"' in note
        assert "alpha_f_p4cnn" in left


def bomb() -> bytes:
    """A PNG of some kilobytes that says it has 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no image", "no PNG or JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "no PNG or JPEG"),
        (b"GIF89a" + bytes(100), "no PNG or JPEG"),
        (b"\x89PNG\r\n\x1a\nnonsense", "damaged"),
        (b"", "no PNG or JPEG"),
        (bomb(), "pixels"),
        (bytes(input_images.MAX_UPLOAD + 1), "bytes, more than"),
    ],
    ids=["text", "svg", "gif", "truncated", "empty", "bomb", "large"],
)
def test_a_bad_upload_is_named_and_the_image_stays(handlers, tmp_path, content, message):
    path = tmp_path / "<img src=x onerror=alert(1)>.png"
    path.write_bytes(content)
    pixels, left, _, note = handlers.upload(str(path), BEFORE, *SETTINGS)
    assert np.array_equal(pixels, BEFORE)
    assert message in note
    assert "<img" not in note
    assert str(tmp_path) not in note
    assert "alpha_f_p4cnn" in left


def test_a_good_upload_is_shown(handlers, tmp_path):
    Image.radial_gradient("L").resize((900, 600)).save(tmp_path / "a.png")
    pixels, _, _, note = handlers.upload(str(tmp_path / "a.png"), BEFORE, *SETTINGS)
    assert pixels.shape == (3, 341, 512)
    assert "uploaded: a.png" in note
    assert 'role="alert"' in handlers.upload(None, BEFORE, *SETTINGS)[3]


def test_the_panel_says_what_look_at_says(handlers):
    view = view_network(handlers.models["alpha_f_p4cnn"], input_images.example("2"), 30)
    panel = handlers.choose("2", "alpha_f_p4cnn", "none", 30, False, False)[1]
    best, probability = view.guesses[0]
    assert f'data-answer="{best}"' in panel
    assert f"{100 * probability:.1f} %" in panel
    assert len(re.findall(r"<figure", panel)) == 2 + 4
    assert handlers.choose("2", "alpha_f_p4cnn", "none", 30, False, False)[2] == ""


def test_a_p4_network_turns_along_and_a_planar_one_does_not(handlers):
    example = input_images.example("2")
    p4, z2 = (handlers.models[name] for name in ("alpha_f_p4cnn", "z2cnn"))
    straight, turned = view_network(p4, example, 0), view_network(p4, example, 90)
    np.testing.assert_array_equal(turned.image, np.rot90(straight.image))
    assert turned.error < 1e-3
    assert straight.at_right_angles < html_panels.ROUNDING < view_network(z2, example, 0).at_right_angles
    assert dict(straight.guesses)[turned.guesses[0][0]] == pytest.approx(turned.guesses[0][1], rel=1e-3)
    maps = [view.display.plane(view.explanation.sum) for view in (straight, turned)]
    np.testing.assert_allclose(maps[1], np.rot90(maps[0]), rtol=1e-3)
    assert "exact to rounding" in html_panels.meter(straight)
    assert "not equivariant" in html_panels.meter(view_network(z2, example, 0))


def test_mirroring_and_inverting():
    network, example = trained("alpha_f_p4cnn"), input_images.example("2")
    plain = view_network(network, example, 0).image
    np.testing.assert_allclose(view_network(network, example, 0, mirror=True).image, plain[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(view_network(network, example, 0, invert=True).image, 1 - plain, atol=1e-5)


def test_names_are_shown_and_never_read_as_html():
    view = view_network(trained("p4cnn"), input_images.example("2"), 0)
    object.__setattr__(view, "guesses", [("<b>", 0.5)])
    object.__setattr__(view, "name", "<i>")
    panel = html_panels.view_panel(view)
    assert "<b>" not in panel
    assert "<i>" not in panel
    assert "&lt;b&gt;" in panel


def test_reading_a_drawing_raises_only_what_the_page_expects():
    with pytest.raises(ImageError, match="no drawing"):
        input_images.drawn("data:image/jpeg;base64,AAAA")


def test_a_drawing_that_says_it_is_huge_is_damaged(handlers):
    board = "data:image/png;base64," + base64.b64encode(bomb()).decode()
    assert 'role="alert"' in handlers.draw(board, BEFORE, *SETTINGS)[3]
