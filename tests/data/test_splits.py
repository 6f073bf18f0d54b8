import pytest
import torch
from torch.utils.data import DataLoader

from attentive_gconv.data.splits import DataSplits, InMemoryDataset, LabelledDataset, LabelledImages, splits_in_memory


def make(protocol: str, channels: int = 1) -> DataSplits:
    return splits_in_memory(
        LabelledImages(torch.rand(10, channels, 4, 5), torch.arange(10)),
        LabelledImages(torch.rand(6, channels, 4, 5), torch.arange(6)),
        held_out=3,
        protocol=protocol,
        name="noise",
        description="noise",
        source="embedded",
        classes=tuple("abcdefghij"),
    )


def test_items_and_batches_are_the_same() -> None:
    dataset = InMemoryDataset(torch.rand(7, 1, 3, 3), torch.tensor([3, 1, 4, 1, 5, 9, 2]))
    indices = [6, 0, 0, 3]
    for (image, label), index in zip(dataset.__getitems__(indices), indices, strict=True):
        assert torch.equal(image, dataset.images[index])
        assert torch.equal(image, dataset[index][0])
        assert label == dataset[index][1] == int(dataset.labels[index])
        assert type(label) is type(dataset[index][1]) is int


def test_the_loader_gathers_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = InMemoryDataset(torch.rand(7, 1, 3, 3), torch.arange(7))
    monkeypatch.setattr(InMemoryDataset, "__getitem__", lambda *_: pytest.fail("fetched one by one"))
    images, labels = zip(*DataLoader(dataset, batch_size=3), strict=True)
    assert torch.equal(torch.cat(images), dataset.images)
    assert torch.equal(torch.cat(labels), dataset.labels)


@pytest.mark.parametrize(("shape", "count"), [((4, 3, 3), 4), ((4, 1, 3, 3), 3)])
def test_shapes_that_do_not_fit(shape: tuple[int, ...], count: int) -> None:
    with pytest.raises(ValueError, match=r"`images`.*`labels`"):
        InMemoryDataset(torch.rand(shape), torch.arange(count))


def test_validation_holds_out_the_last() -> None:
    splits = make("validation")
    assert splits.valid is not None
    assert splits.train.labels.tolist() == list(range(7))
    assert splits.valid.labels.tolist() == [7, 8, 9]
    assert splits.test.labels.tolist() == list(range(6))
    assert list(splits.by_name()) == ["train", "valid", "test"]


def test_paper_trains_on_all() -> None:
    splits = make("paper")
    assert splits.valid is None
    assert len(splits.train) == 10
    assert list(splits.by_name()) == ["train", "test"]
    assert splits.class_counts() == {"train": [1] * 10, "test": [1] * 6 + [0] * 4}


@pytest.mark.parametrize(("protocol", "trained_on"), [("validation", 7), ("paper", 10)])
def test_standardised_by_what_is_trained_on(protocol: str, trained_on: int) -> None:
    training, test = torch.rand(10, 3, 4, 5), torch.rand(6, 3, 4, 5)
    splits = splits_in_memory(
        LabelledImages(training.clone(), torch.arange(10)),
        LabelledImages(test.clone(), torch.arange(6)),
        held_out=3,
        protocol=protocol,
        name="noise",
        description="noise",
        source="embedded",
        classes=("x",) * 10,
    )
    mean = training[:trained_on].double().mean().item()
    std = training[:trained_on].double().std(correction=0).item()
    assert splits.mean == pytest.approx((mean,) * 3)
    assert splits.std == pytest.approx((std,) * 3)
    assert splits.image_shape == (3, 4, 5)
    assert torch.allclose(splits.test[2][0], (test[2] - mean) / std, atol=1e-6)
    assert torch.allclose(splits.train[6][0], (training[6] - mean) / std, atol=1e-6)


def test_a_lazy_dataset_fits_and_is_not_read_for_its_counts() -> None:
    class Lazy(LabelledDataset):
        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            pytest.fail("an image was read")

    splits = make("paper")
    lazy = DataSplits(**{**vars(splits), "train": Lazy(torch.tensor([2, 2, 0]))})
    assert lazy.class_counts()["train"] == [1, 0, 2] + [0] * 7
    assert len(lazy.train) == 3
