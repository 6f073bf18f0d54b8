"""Read PNG and JPEG files of any size and colour mode as tensors.

1. The image is rotated upright by its EXIF orientation. Of several frames the first is read.
2. Transparent pixels are blended with white. 16-bit grey keeps its depth; CMYK, palette and bilevel images become RGB
   or grey. Values are scaled to [0, 1].
3. One channel is the luma (ITU-R 601); three channels are RGB (a grey image is repeated).
"""

from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

try:
    from PIL import Image, ImageOps
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
except ImportError as error:
    raise ImportError("reading images needs Pillow: pip install 'attentive-gconv[train]'") from error

MAX_PIXELS = 50_000_000


class ImageError(ValueError):
    """An image file cannot be read; the message names the file."""


def read_pixels(path: Path, channels: int) -> Tensor:
    """Read an image file as upright float32 ``(channels, Y, X)`` in [0, 1], for 1 or 3 channels.

    Raises:
        ImageError: if the file cannot be read.
    """
    try:
        if not path.is_file():
            raise ImageError(f"{path}: there is no such file")
        with path.open("rb") as stream, _opened(stream, path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(
                    f"{path}: {image.width} x {image.height} pixels are more than {MAX_PIXELS:,}; scale it down"
                )
            image.load()
            return _to_tensor(ImageOps.exif_transpose(image), channels)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{path}: the memory is too small for this image; scale it down") from error
    # Pillow raises nearly any exception on damaged files; the caller goes on with the next file
    except Exception as error:
        raise ImageError(f"{path}: the image is damaged ({str(error) or type(error).__name__})") from error


def _opened(stream: IO[bytes], path: Path) -> Image.Image:
    """Open a PNG or JPEG file by its signature; `PIL.Image.open` would apply Pillow's global pixel limit."""
    start = stream.read(8)
    stream.seek(0)
    if start == b"\x89PNG\r\n\x1a\n":
        return PngImageFile(stream)
    if start.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(stream)
    raise ImageError(f"{path}: this is no PNG or JPEG image")


def _to_tensor(image: Image.Image, channels: int) -> Tensor:
    if image.mode.startswith("I"):
        # 16-bit grey, which `convert` would clip to 8 bits
        grey = torch.from_numpy(np.asarray(image, dtype=np.float32) / 65535).clamp(0, 1)
        return grey.expand(channels, *grey.shape).clone()
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
    array = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.float32) / 255
    pixels = torch.from_numpy(array)
    return pixels[None] if channels == 1 else pixels.permute(2, 0, 1)
