"""Figure of a dataset's samples as a PNG file."""

from pathlib import Path

import torch

from attentive_gconv.data.extras import import_extra
from attentive_gconv.data.splits import DataSplits
from attentive_gconv.files import atomic_path


def save_samples(splits: DataSplits, path: Path, rows: int = 4, columns: int = 10) -> Path:
    """Save a grid of training images, as the network sees them, with their class names as titles.

    Args:
        splits: the dataset.
        path: a .png file; an existing one is replaced.
        rows, columns: size of the grid.

    Returns:
        Path: the PNG file.

    Raises:
        ValueError: if the name does not end in .png, or its folder does not exist.
    """
    check_samples_path(path)
    # a Figure without pyplot needs no display and leaves its global state alone
    figure_module = import_extra("matplotlib.figure", "a grid of samples")
    figure = figure_module.Figure(figsize=(columns, 1.25 * rows + 0.6), layout="constrained")
    note = " (as stored: transposed)" if splits.transposed else ""
    figure.suptitle(splits.description + note, fontsize="medium", parse_math=False)
    channels = splits.image_shape[0]
    mean, std = (torch.tensor(values).reshape(channels, 1, 1) for values in (splits.mean, splits.std))
    shown = min(rows * columns, len(splits.train))
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if number >= shown:
            continue
        # evenly spaced: images in folders are sorted by class
        image, label = splits.train[number * len(splits.train) // shown]
        pixels = (image * std + mean).clamp(0, 1).permute(1, 2, 0).numpy()
        axes.imshow(pixels[..., 0] if channels == 1 else pixels, cmap="gray", vmin=0, vmax=1)
        axes.set_title(splits.classes[label], fontsize="small", parse_math=False)
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png")
    return path


def check_samples_path(path: Path) -> None:
    """Raise ValueError unless a PNG file can be written there."""
    if path.suffix.lower() != ".png":
        raise ValueError(f"`path` (={str(path)!r}) must end in .png")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"`path` (={str(path)!r}) lies in a folder that does not exist: create it first")
