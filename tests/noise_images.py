"""Small images of noise, in a folder for every class."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def noise_image(seed: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    """Noise of this width and height, each colour as bright as it likes."""
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, random.integers(60, 256, 3), (size[1], size[0], 3)).astype(np.uint8))


def write_images(folder: Path, counts: Mapping[str, Mapping[str, int]], size: tuple[int, int] = (8, 8)) -> Path:
    """Writes so many images of each class of each part, ``folder/PART/CLASS/NN.png``."""
    for part, classes in counts.items():
        for name, count in classes.items():
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                seed = sum(map(ord, f"{part}{name}")) * 1000 + number
                noise_image(seed, size).save(folder / part / name / f"{number:02}.png")
    return folder
