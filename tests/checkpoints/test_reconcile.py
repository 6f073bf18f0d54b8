"""What a model card says of its input reaches every dataset that its network is measured on."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.checkpoints import ModelCard, open_model
from attentive_gconv.checkpoints.reconcile import reconcile, restandardise
from attentive_gconv.data import DataSplits, InMemoryDataset
from attentive_gconv.settings import ConfigError
from attentive_gconv.training import load_recipe, train
from noise_images import write_images


def splits(**changes) -> DataSplits:
    raw = torch.rand(6, 1, 4, 5, generator=torch.Generator().manual_seed(1))
    made = DataSplits(
        name="made",
        description="made",
        source="made",
        classes=("a", "b", "c"),
        image_shape=(1, 4, 5),
        train=InMemoryDataset((raw - 0.5) / 0.25, torch.tensor([0, 1, 2, 0, 1, 2])),
        valid=None,
        test=InMemoryDataset((raw - 0.5) / 0.25, torch.tensor([2, 1, 0, 2, 1, 0])),
        mean=(0.5,),
        std=(0.25,),
        protocol="paper",
    )
    return replace(made, **changes)


CARD = ModelCard.of(splits(), seed=0, model="p4cnn", options={})


def test_the_same_dataset_is_left_alone():
    same = splits()
    assert reconcile(same, CARD) is same


def test_restandardising_gives_what_the_other_figures_would_have_given():
    raw = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    one, other = ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0)), ((0.3, 0.2, 0.1), (0.5, 0.6, 0.7))

    def standardised(figures):
        mean, std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in figures)
        return (raw - mean) / std

    convert = restandardise(*one, *other)
    torch.testing.assert_close(convert(standardised(one)), standardised(other))
    assert restandardise(*one, *one) is None


def test_another_order_of_the_classes_is_followed():
    ours = reconcile(splits(classes=("c", "a", "b")), CARD)
    assert ours.classes == ("a", "b", "c")
    assert ours.test.labels.tolist() == [1, 0, 2, 1, 0, 2]
    assert [label for _, label in (ours.test[i] for i in range(6))] == ours.test.labels.tolist()


def test_axes_and_standardisation_become_those_of_the_card():
    card = replace(CARD, transposed=True, image_shape=(1, 5, 4), mean=(0.25,), std=(0.5,))
    theirs, ours = splits(), reconcile(splits(), card)
    raw = theirs.test[3][0] * 0.25 + 0.5
    torch.testing.assert_close(ours.test[3][0], (raw.transpose(-2, -1) - 0.25) / 0.5)
    assert (ours.transposed, ours.image_shape, ours.mean, ours.std) == (True, (1, 5, 4), (0.25,), (0.5,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "b", "d")}, "does not know d, and c are missing; name the classes"),
        ({"classes": ("a", "b")}, r"has 2 classes of images \(1, 4, 5\), the network p4cnn takes 3"),
        ({"image_shape": (1, 5, 4)}, r"images \(1, 5, 4\), the network p4cnn takes 3 of \(1, 4, 5\)"),
        ({"image_shape": (3, 4, 5)}, r"images \(3, 4, 5\)"),
    ],
)
def test_what_cannot_be_reconciled_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        reconcile(splits(**changes), CARD)


def test_a_renamed_class_folder_is_refused(tmp_path: Path):
    """The instance that was reported: error 0 % became 100 %, with exit status 0."""
    counts = {"automobile": 3, "bird": 3}
    write_images(tmp_path / "images", {"train": counts, "test": counts})
    settings = {"model.name": "p4cnn", "model.channels": 2, "epochs": 1, "batch_size": 4, "dataset.image_size": 28}
    config = load_recipe("image-folder", {**settings, "dataset.folder": str(tmp_path / "images")})
    train(config, tmp_path / "run")
    opened = open_model(tmp_path / "run")
    opened.load_splits()
    for part in (tmp_path / "images").iterdir():
        (part / "automobile").rename(part / "car")
    with pytest.raises(ConfigError, match="does not know car, and automobile are missing"):
        opened.load_splits()


def test_the_authors_checkpoint_needs_a_dataset_of_its_shape(tmp_path: Path):
    torch.save(ag.create_model("p4m_densenet").state_dict(), tmp_path / "d.pth")
    with pytest.raises(ConfigError, match=r"p4m_densenet is for 2 of \(3, 96, 96\)"):
        open_model(tmp_path / "d.pth", model="p4m_densenet", dataset="digits")


def test_classes_of_the_same_name_are_not_mixed_up():
    """If mean or std differed, images of the second class silently got the label of the first."""
    classes = ("crane", "crane", "c")
    card = replace(CARD, classes=classes)
    same = reconcile(splits(classes=classes, mean=(0.25,)), card)
    assert [same.train[i][1] for i in range(3)] == [0, 1, 2]
    with pytest.raises(ConfigError, match="in another order than the network p4cnn, and some have the same name"):
        reconcile(splits(classes=("c", "crane", "crane")), card)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0.5]", "[1" + "0" * 400 + "]", r"mean\[0\] \(=1000.*\) must be a finite number"),
        ('"a"', '"\\ud800"', "not valid Unicode"),
    ],
)
def test_metadata_that_no_card_can_hold(old, new, message):
    """They ended in an OverflowError, and in an error of the terminal when the class was printed."""
    text = json.dumps(asdict(CARD))
    assert ModelCard.from_json(text) == CARD
    with pytest.raises(ConfigError, match=message):
        ModelCard.from_json(text.replace(old, new, 1))
