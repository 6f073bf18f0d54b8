import pytest
import torch

from attentive_gconv.data import DataSplits, load_dataset


@pytest.fixture(scope="module")
def splits() -> DataSplits:
    return load_dataset("digits")


def pixels(splits: DataSplits) -> torch.Tensor:
    return splits.train.images * splits.std[0] + splits.mean[0]  # type: ignore[attr-defined]


def test_fixed_splits(splits: DataSplits) -> None:
    assert {name: len(split) for name, split in splits.by_name().items()} == {"train": 1200, "valid": 200, "test": 397}
    paper = load_dataset("digits", protocol="paper")
    assert {name: len(split) for name, split in paper.by_name().items()} == {"train": 1400, "test": 397}
    assert torch.equal(paper.test.labels, splits.test.labels)
    # every one of scikit-learn's 1,797 digits is in one split
    assert [sum(counts) for counts in zip(*splits.class_counts().values(), strict=True)] == [
        *(178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    ]


def test_as_the_network_takes_them(splits: DataSplits) -> None:
    image, label = splits.train[0]
    assert image.dtype == torch.float32
    assert image.shape == splits.image_shape == (1, 28, 28)
    assert splits.classes[label] in "0123456789"
    assert not splits.transposed
    assert splits.source == "embedded"
    images = splits.train.images  # type: ignore[attr-defined]
    assert images.mean().item() == pytest.approx(0, abs=1e-4)
    assert images.std().item() == pytest.approx(1, abs=1e-3)
    assert pixels(splits).min().item() == pytest.approx(0, abs=1e-6)
    assert 0.9 < pixels(splits).max().item() <= 1 + 1e-6


def test_digits_keep_within_the_image(splits: DataSplits) -> None:
    images = pixels(splits)
    edge = torch.cat([images[..., [0, -1], :].flatten(1), images[..., [0, -1]].flatten(1)], 1)
    assert edge.mean().item() < 0.02
    # and are in its middle
    weights = images.mean(0)[0] / images.mean(0).sum()
    axis = torch.arange(28) - 13.5
    assert abs((weights.sum(0) * axis).sum().item()) < 0.3
    assert abs((weights.sum(1) * axis).sum().item()) < 0.3


def test_the_seed_decides(splits: DataSplits) -> None:
    again, other = load_dataset("digits", seed=0), load_dataset("digits", seed=1)
    assert torch.equal(again.train.images, splits.train.images)  # type: ignore[attr-defined]
    assert not torch.equal(other.train.images, splits.train.images)  # type: ignore[attr-defined]
    assert "seed 1" in other.description


def test_a_named_source_is_the_same(splits: DataSplits) -> None:
    named = load_dataset("digits", source=splits.source)
    assert torch.equal(named.test.images, splits.test.images)  # type: ignore[attr-defined]
