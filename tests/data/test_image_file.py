"""Reading image files: whatever is wrong with one is an ImageError that names it."""

import contextlib
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from attentive_gconv.data.image_file import MAX_PIXELS, ImageError, read_pixels


@pytest.mark.parametrize("error", [KeyError("a"), struct.error("b"), TypeError(), ZeroDivisionError("c")])
def test_whatever_the_reader_raises_names_the_file(tmp_path, monkeypatch, error):
    path = tmp_path / "a.png"
    Image.new("L", (3, 3)).save(path)

    def fail(image):
        raise error

    monkeypatch.setattr(ImageOps, "exif_transpose", fail)
    with pytest.raises(ImageError, match=r"a\.png: the image is damaged \(.+\)"):
        read_pixels(path, 1)


def test_a_full_memory_names_the_file(tmp_path, monkeypatch):
    Image.new("L", (3, 3)).save(tmp_path / "a.png")

    def fail(image):
        raise MemoryError

    monkeypatch.setattr(ImageOps, "exif_transpose", fail)
    with pytest.raises(ImageError, match=r"a\.png: the memory is too small"):
        read_pixels(tmp_path / "a.png", 1)


def test_names_that_the_system_refuses(tmp_path):
    with pytest.raises(ImageError, match="xxx"):
        read_pixels(tmp_path / ("x" * 5000 + ".png"), 1)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(ImageError, match=r"a\.png"):
        read_pixels(tmp_path / "a.png", 1)


def large_png(path: Path, side: int) -> None:
    """Black, of one bit a pixel: small as a file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (side + 7) // 8) * side))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def test_the_limit_is_ours_whatever_pillow_is_set_to(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    large_png(tmp_path / "a.png", 3000)
    assert read_pixels(tmp_path / "a.png", 1).shape == (1, 3000, 3000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    large_png(tmp_path / "b.png", 8000)
    with pytest.raises(ImageError, match=f"8000 x 8000 pixels are more than {MAX_PIXELS:,}"):
        read_pixels(tmp_path / "b.png", 1)


def test_every_damaged_byte_gives_an_image_or_an_image_error(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    for kind in ("png", "jpeg"):
        path = tmp_path / f"a.{kind}"
        Image.fromarray(noise).save(path)
        whole = path.read_bytes()
        for position in range(len(whole)):
            spoilt = bytearray(whole)
            spoilt[position] ^= 0xFF
            path.write_bytes(spoilt)
            with contextlib.suppress(ImageError):
                assert read_pixels(path, 3).shape[0] == 3
