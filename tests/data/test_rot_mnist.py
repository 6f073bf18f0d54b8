from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from attentive_gconv.data import DatasetError, DataSplits, load_dataset
from attentive_gconv.data.mnist import pooled_digits
from attentive_gconv.data.request import LoadRequest
from attentive_gconv.data.rot_mnist import RotMnist, load_rot_mnist


def load(data_dir: Path, made_of: RotMnist, **options: Any) -> DataSplits:
    return load_rot_mnist(LoadRequest(data_dir, **options), made_of)


def raw(splits: DataSplits, images: torch.Tensor) -> torch.Tensor:
    return images * splits.std[0] + splits.mean[0]


@pytest.fixture
def mnist_there(data_dir: Path, write_mnist: Callable) -> None:
    write_mnist(data_dir / "mnist")


@pytest.fixture
def archive_there(data_dir: Path, texts: Any, pack: Callable, made_of: RotMnist, server: Any) -> None:
    folder = data_dir / "rot-mnist"
    folder.mkdir()
    (folder / "rotated.zip").write_bytes((server.folder / "rotated.zip").read_bytes())


@pytest.mark.usefixtures("mnist_there")
def test_remade_as_defined(data_dir: Path, made_of: RotMnist) -> None:
    splits = load(data_dir, made_of, source="remade", seed=7, protocol="paper")
    digits, labels = pooled_digits(data_dir / "mnist", made_of.mnist, may_download=False)
    random = np.random.RandomState(7)
    order = random.permutation(40)[:35]
    angles = random.uniform(0, 360, 35)
    found = torch.cat([raw(splits, splits.train.images), raw(splits, splits.test.images)])  # type: ignore[attr-defined]
    assert torch.cat([splits.train.labels, splits.test.labels]).tolist() == labels[order].tolist()
    for image, index, angle in zip(found, order, angles, strict=True):
        pixels = torch.from_numpy(digits[index])[None].float() / 255
        turned = TF.rotate(pixels, float(angle), InterpolationMode.BILINEAR)
        torch.testing.assert_close(image, turned.transpose(-2, -1), atol=1e-3, rtol=0)


@pytest.mark.usefixtures("mnist_there")
def test_described_truthfully(data_dir: Path, made_of: RotMnist, cache: Path) -> None:
    splits = load(data_dir, made_of, seed=2)
    assert (splits.name, splits.source, splits.protocol) == ("rot-mnist", "remade", "validation")
    assert splits.description == "rot-MNIST, re-made from MNIST, seed 2"
    assert splits.transposed
    assert splits.image_shape == (1, 28, 28)
    assert splits.cache_path
    assert splits.cache_path.is_relative_to(cache)
    assert "seed2" in splits.cache_path.name
    assert sorted(path.name for path in data_dir.iterdir()) == ["mnist"]


@pytest.mark.usefixtures("mnist_there")
def test_protocols_share_their_images(data_dir: Path, made_of: RotMnist) -> None:
    held, whole = (load(data_dir, made_of, protocol=protocol) for protocol in ("validation", "paper"))
    assert {name: len(split) for name, split in held.by_name().items()} == {"train": 16, "valid": 4, "test": 15}
    assert {name: len(split) for name, split in whole.by_name().items()} == {"train": 20, "test": 15}
    assert held.valid
    together = torch.cat([raw(held, held.train.images), raw(held, held.valid.images)])  # type: ignore[attr-defined]
    torch.testing.assert_close(together, raw(whole, whole.train.images))  # type: ignore[attr-defined]
    assert held.mean != whole.mean


@pytest.mark.usefixtures("mnist_there")
def test_the_cache_serves_without_the_sources(data_dir: Path, made_of: RotMnist) -> None:
    made = load(data_dir, made_of, seed=3)
    for path in (data_dir / "mnist").iterdir():
        path.unlink()
    cached = load(data_dir, made_of, seed=3, download=False)
    assert torch.equal(made.train.images, cached.train.images)  # type: ignore[attr-defined]
    assert made.cache_path == cached.cache_path
    with pytest.raises(DatasetError, match="rot-MNIST has no source"):
        load(data_dir, made_of, seed=4, download=False)


@pytest.mark.usefixtures("mnist_there", "archive_there")
def test_auto_prefers_the_original(data_dir: Path, made_of: RotMnist, texts: Any) -> None:
    splits = load(data_dir, made_of, protocol="paper")
    assert (splits.source, splits.description) == ("original", "rot-MNIST, the original archive")
    pixels = raw(splits, splits.train.images).reshape(20, 784)  # type: ignore[attr-defined]
    np.testing.assert_allclose(pixels.numpy(), texts.train[:, :-1], atol=1e-6)
    assert load(data_dir, made_of, source="remade").source == "remade"


@pytest.mark.usefixtures("archive_there")
def test_auto_takes_the_cached_original(data_dir: Path, made_of: RotMnist, write_mnist: Callable) -> None:
    load(data_dir, made_of)
    (data_dir / "rot-mnist" / "rotated.zip").unlink()
    write_mnist(data_dir / "mnist")
    assert load(data_dir, made_of, download=False).source == "original"


def test_auto_downloads_the_original(data_dir: Path, made_of: RotMnist) -> None:
    assert load(data_dir, made_of).source == "original"
    assert (data_dir / "rot-mnist" / "rotated.zip").is_file()


def test_remade_downloads_mnist(data_dir: Path, made_of: RotMnist) -> None:
    assert load(data_dir, made_of, source="remade").source == "remade"
    assert len(list((data_dir / "mnist").iterdir())) == 4


def test_nothing_there_and_no_download(data_dir: Path, made_of: RotMnist, cache: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load(data_dir, made_of, download=False)
    message = str(caught.value)
    for part in (str(data_dir / "rot-mnist" / "rotated.zip"), "t10k-labels-idx1-ubyte.gz", "allow the download"):
        assert part in message
    assert list(data_dir.iterdir()) == []
    assert not cache.exists()


@pytest.mark.usefixtures("archive_there")
@pytest.mark.parametrize("source", ["auto", "original"])
def test_the_original_has_no_seed(data_dir: Path, made_of: RotMnist, source: str) -> None:
    with pytest.raises(ValueError, match=r"`seed` \(=3\) has no effect.*'remade'"):
        load(data_dir, made_of, source=source, seed=3)


@pytest.mark.usefixtures("archive_there")
def test_a_damaged_original_is_not_cached(data_dir: Path, made_of: RotMnist, cache: Path) -> None:
    path = data_dir / "rot-mnist" / "rotated.zip"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"rotated\.zip"):
        load(data_dir, made_of)
    assert not cache.exists()


@pytest.mark.usefixtures("archive_there")
def test_another_archive_is_another_cache_file(data_dir: Path, made_of: RotMnist) -> None:
    first = load(data_dir, made_of).cache_path
    other = replace(made_of, archive=replace(made_of.archive, md5="0" * 32))
    with pytest.raises(DatasetError, match="MD5"):
        load(data_dir, other)
    assert first
    assert first.is_file()


def test_the_real_thing(shared_data_dir: Path) -> None:
    splits = load_dataset("rot-mnist", shared_data_dir, source="remade")
    assert {name: len(split) for name, split in splits.by_name().items()} == {
        "train": 10_000,
        "valid": 2_000,
        "test": 50_000,
    }
    # MNIST itself has mean 0.1307 and std 0.3081; interpolation smooths a little
    assert splits.mean[0] == pytest.approx(0.1307, abs=0.002)
    assert splits.std[0] == pytest.approx(0.2906, abs=0.002)
    images = splits.train.images  # type: ignore[attr-defined]
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-4)
    # turned by all angles, the digits are on average as bright in one quarter of the image as in the next
    quarters = raw(splits, images).mean(0)[0].unfold(0, 14, 14).unfold(1, 14, 14).mean((-2, -1)).flatten()
    assert (quarters.max() / quarters.min()).item() < 1.03
