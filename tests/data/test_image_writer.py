from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from attentive_gconv.data.image_writer import save_samples
from attentive_gconv.data.splits import DataSplits, LabelledImages, splits_in_memory


def noise(count: int, channels: int) -> DataSplits:
    return splits_in_memory(
        LabelledImages(torch.rand(count, channels, 6, 6), torch.arange(count) % 2),
        LabelledImages(torch.rand(2, channels, 6, 6), torch.arange(2)),
        held_out=0,
        protocol="paper",
        name="noise",
        description="noise, by the test",
        source="embedded",
        classes=("odd", "even"),
        transposed=True,
    )


@pytest.mark.parametrize(("count", "channels"), [(8, 1), (3, 3)])
def test_a_grid_of_any_number_of_images(tmp_path: Path, count: int, channels: int) -> None:
    path = tmp_path / "samples.png"
    path.write_text("something older")
    assert save_samples(noise(count, channels), path, rows=2, columns=3) == path
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).reshape(-1, 3)
    grey = (pixels[:, 0] == pixels[:, 1]) & (pixels[:, 1] == pixels[:, 2])
    assert bool(grey.all()) == (channels == 1)
    assert len(pixels.unique(dim=0)) > 30
    assert [file.name for file in tmp_path.iterdir()] == ["samples.png"]


@pytest.mark.parametrize(
    ("name", "message"), [("samples.jpg", "must end in .png"), ("nowhere/samples.png", "folder that does not exist")]
)
def test_names_that_do_not_do(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        save_samples(noise(3, 1), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_class_names_are_no_formulas(tmp_path: Path) -> None:
    """Two dollar signs make a formula of a text, and an invalid formula is an error."""
    splits = replace(noise(4, 1), classes=(r"US$ \frac C$", "b"), description=r"$\frac$")
    save_samples(splits, tmp_path / "samples.png", rows=1, columns=2)
