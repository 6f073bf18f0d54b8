import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from attentive_gconv.data import DatasetError, DataSplits, load_dataset
from noise_images import noise_image, write_images

COUNTS = {"train": {"cat": 12, "dog": 25}, "test": {"cat": 2, "dog": 3}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images", COUNTS)


def load(folder: Path, **options: Any) -> DataSplits:
    return load_dataset("image-folder", dataset_dir=folder, **options)


def raw(path: Path) -> torch.Tensor:
    with Image.open(path) as opened:
        return torch.from_numpy(np.array(opened.convert("RGB"))).permute(2, 0, 1).double() / 255


def test_the_last_tenth_of_every_class_is_held_out(folder: Path) -> None:
    splits = load(folder)
    assert splits.classes == ("cat", "dog")
    assert splits.image_shape == (3, 8, 8)
    # round(1.2) and round(2.5) images
    assert splits.class_counts() == {"train": [11, 23], "valid": [1, 2], "test": [2, 3]}
    assert splits.valid is not None
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (splits.mean, splits.std))
    for dataset, index, path in (
        (splits.train, 10, "train/cat/10.png"),
        (splits.train, 11, "train/dog/00.png"),
        (splits.valid, 0, "train/cat/11.png"),
        (splits.valid, 2, "train/dog/24.png"),
        (splits.test, 4, "test/dog/02.png"),
    ):
        torch.testing.assert_close((dataset[index][0] * std + mean).double(), raw(folder / path), rtol=0, atol=1e-6)


@pytest.mark.parametrize("protocol", ["validation", "paper"])
def test_standardised_by_channel_over_what_is_trained_on(folder: Path, protocol: str) -> None:
    splits = load(folder, protocol=protocol)
    images = torch.stack([image for image, _ in splits.train.__getitems__(range(len(splits.train)))]).double()
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.ones(3).double(), rtol=0, atol=1e-6)
    assert len(set(splits.mean)) == 3


def test_a_folder_for_validation_is_used(folder: Path) -> None:
    write_images(folder, {"valid": {"dog": 4, "cat": 1}})
    assert load(folder).class_counts() == {"train": [12, 25], "valid": [1, 4], "test": [2, 3]}
    paper = load(folder, protocol="paper")
    assert paper.class_counts() == {"train": [13, 29], "test": [2, 3]}
    assert paper.valid is None


def test_images_may_lie_deeper_and_be_of_both_kinds(folder: Path) -> None:
    (folder / "train" / "cat" / "more").mkdir()
    noise_image(0).save(folder / "train" / "cat" / "more" / "last.JPEG")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "train" / "Thumbs.db").write_bytes(b"")
    (folder / "train" / "cat" / ".hidden.txt").write_bytes(b"")
    assert load(folder, protocol="paper").class_counts()["train"] == [13, 25]


def test_images_are_scaled_to_one_size_where_that_is_asked_for(folder: Path) -> None:
    path = folder / "train" / "dog" / "07.png"
    noise_image(3, (8, 10)).save(path)
    with pytest.raises(DatasetError, match=r"07.png has 10 x 8 pixels and .* has 8 x 8: scale .*--image-size"):
        load(folder)
    splits = load(folder, image_size=4)
    assert splits.image_shape == (3, 4, 4)
    assert all(image.shape == (3, 4, 4) for image, _ in splits.train)


def test_every_image_is_read_once_before_training_and_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load(folder)
    assert before.cache_path
    assert before.cache_path.is_file()
    from attentive_gconv.data import image_file

    with monkeypatch.context() as patched:
        patched.setattr(image_file, "read_pixels", lambda *_: pytest.fail("an image was read again"))
        assert load(folder).mean == before.mean
    noise_image(99).save(folder / "train" / "cat" / "00.png")
    assert load(folder).mean != before.mean


@pytest.mark.parametrize("name", ["train/cat/03.png", "train/dog/24.png", "test/dog/01.png"])
@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda content: content[: len(content) // 2], "damaged"),
        (lambda content: b"", "no PNG or JPEG"),
        (lambda content: b"GIF89a" + content, "no PNG or JPEG"),
    ],
)
def test_damaged_images_are_named_before_training(
    folder: Path, name: str, spoil: Callable[[bytes], bytes], what: str
) -> None:
    path = folder / name
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DatasetError, match=rf"{what}.*: repair or remove it") as caught:
        load(folder)
    assert str(path) in str(caught.value)


def remove(path: Path) -> None:
    for entry in sorted(path.rglob("*"), reverse=True):
        if entry.is_dir():
            entry.rmdir()
        else:
            entry.unlink()
    path.rmdir()


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda folder: remove(folder / "train"), "train is missing: put the training images there"),
        (lambda folder: remove(folder / "test"), "test is missing: put the images there"),
        (lambda folder: remove(folder / "train" / "dog"), "at least two folders, one for every class; it holds 1"),
        (lambda folder: (folder / "test" / "dog").rename(folder / "test" / "god"), r"test/god belongs to no class"),
        (lambda folder: noise_image(0).save(folder / "train" / "loose.png"), "train/loose.png belongs to no class"),
        (lambda folder: (folder / "train" / "empty").mkdir(), "train/empty holds no image"),
        (lambda folder: (folder / "train" / "cat" / "a.tiff").write_bytes(b""), "cat/a.tiff is no PNG or JPEG file"),
        (lambda folder: [remove(folder / "test" / name) for name in ("cat", "dog")], "test holds no image"),
        (lambda folder: write_images(folder, {"train": {"bird": 1}}), "bird holds one image.* 'final'"),
    ],
)
def test_folders_that_are_laid_out_otherwise(folder: Path, spoil: Callable[[Path], object], what: str) -> None:
    spoil(folder)
    with pytest.raises(DatasetError, match=what):
        load(folder)


def test_images_of_one_colour_are_refused(tmp_path: Path) -> None:
    for name in ("train/a", "train/b", "test/a"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (4, 4), "grey").save(tmp_path / name / f"{number}.png")
    with pytest.raises(DatasetError, match="all of one colour"):
        load(tmp_path)


def test_a_seed_has_no_effect_and_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"`seed` \(=3\) has no effect"):
        load(folder, seed=3)


def test_real_images(shared_data_dir: Path, tmp_path: Path) -> None:
    """The first photographs of one class of the JPEG copy of CIFAR-10, beside drawn ones."""
    write_images(tmp_path, {"train": {"drawn": 4}, "test": {"drawn": 1}}, size=(32, 32))
    with tarfile.open(shared_data_dir / "cifar10-jpeg" / "cifar10-jpeg.tar.xz", "r|xz") as archive:
        for member in archive:
            if member.isfile():
                archive.extract(member, tmp_path, filter="data")
                if member.name.endswith("0019.jpg"):
                    break
    splits = load(tmp_path, protocol="paper")
    assert splits.class_counts()["train"] == [20, 4]
    assert splits.image_shape == (3, 32, 32)
    # photographs: neighbouring pixels are alike, as they are not in noise
    image = splits.train[0][0]
    assert (image.diff(dim=-1).abs().mean() < 0.5 * image.std()).item()


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere take Unicode names alone")
def test_names_that_are_no_utf_8(folder: Path) -> None:
    os.rename(folder / "train" / "cat" / "00.png", os.fsencode(folder / "train" / "cat") + b"/\xff.png")
    assert len(load(folder).train) > 0
    os.rename(folder / "train" / "cat", os.fsencode(folder / "train") + b"/cat\xff")
    with pytest.raises(DatasetError, match=r"train/cat\\udcff' has a name that is no UTF-8.*rename the folder"):
        load(folder)
