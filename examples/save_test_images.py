"""Save test images of a dataset as PNG files, to try `agconv predict` on.

    python examples/save_test_images.py digits --count 5 --out images
    agconv predict RUN images/*.png

Each file is named after the image's true class, and shows it upright as one would photograph it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from attentive_gconv.data import DataSplits, list_datasets, load_dataset


def test_image(splits: DataSplits, index: int) -> Image.Image:
    """The test image as it was before it was standardised (and transposed, if the dataset does that)."""
    image, _ = splits.test[index]
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (splits.mean, splits.std))
    pixels = ((image * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    if splits.transposed:
        pixels = pixels.mT
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def save(splits: DataSplits, count: int, folder: Path) -> list[Path]:
    """Write the first test images; the files' names end with their classes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(min(count, len(splits.test))):
        name = splits.classes[splits.test[index][1]]
        paths.append(folder / f"{index:03}-is-{name}.png")
        test_image(splits, index).save(paths[-1])
    return paths


def main() -> None:
    """Read the command line and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", choices=list_datasets())
    parser.add_argument("--count", type=int, default=5, help="how many images (default: 5)")
    parser.add_argument("--out", type=Path, default=Path("images"), help="folder to write to (default: images)")
    parser.add_argument("--data-dir", type=Path, help="folder that holds the datasets")
    arguments = parser.parse_args()
    if arguments.count < 1:
        parser.error(f"--count (={arguments.count}) must be at least 1")
    for path in save(load_dataset(arguments.dataset, arguments.data_dir), arguments.count, arguments.out):
        print(path)


if __name__ == "__main__":
    main()
