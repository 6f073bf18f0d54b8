import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.data import InMemoryDataset
from attentive_gconv.inference import evaluate

CLASSES = ("a", "b", "c")


class FirstPixel(nn.Module):
    """The class is the value of the pixel in the upper left corner."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.one_hot(images[:, 0, 0, 0].long(), 3).to(images.dtype)


def images_with(corners: list[int], labels: list[int]) -> InMemoryDataset:
    images = torch.zeros(len(corners), 1, 4, 4)
    images[:, 0, 0, 0] = torch.tensor(corners)
    return InMemoryDataset(images, torch.tensor(labels))


def test_the_figures_are_those_counted_by_hand():
    dataset = images_with([0, 0, 1, 1, 0], [0, 0, 0, 1, 1])
    figures = evaluate(FirstPixel(), dataset, CLASSES, batch_size=2)
    assert (figures.images, figures.error, figures.accuracy) == (5, 0.4, 0.6)
    assert figures.confusion == ((2, 1, 0), (1, 1, 0), (0, 0, 0))
    first, second, third = figures.classes
    assert (first.name, first.count, first.recall, first.precision) == ("a", 3, 2 / 3, 2 / 3)
    assert (second.recall, second.precision) == (0.5, 0.5)
    assert (third.count, third.recall, third.precision) == (0, None, None)
    # a logit of 1 for one class of three, right three times
    right = torch.log(torch.tensor([1.0, 0, 0]).exp().sum()) - 1
    assert figures.loss == pytest.approx(float(3 * right + 2 * (right + 1)) / 5)


def test_predictions_that_change_under_rotation_are_counted():
    # turned, the corner is 0: only what was not 0 before changes, whatever the label is
    figures = evaluate(FirstPixel(), images_with([0, 1, 2, 0], [0, 0, 0, 0]), CLASSES)
    assert figures.changed_by_rotation == {"90": 2, "180": 2, "270": 2}


class Answers(nn.Module):
    """The logits are the first pixels of the image's rows."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 0, :3, 0]


@pytest.mark.parametrize("ties", [False, True])
def test_areas_under_the_curves_are_those_of_scikit_learn(ties):
    torch.manual_seed(0)
    images, labels = torch.randn(60, 1, 4, 4), torch.randint(3, (60,))
    images = images.round() if ties else images
    figures = evaluate(Answers(), InMemoryDataset(images, labels), CLASSES, batch_size=7)
    probabilities = images[:, 0, :3, 0].double().softmax(1)
    for k, row in enumerate(figures.classes):
        assert row.auc == pytest.approx(roc_auc_score(labels == k, probabilities[:, k]), abs=1e-12)
    assert figures.loss == pytest.approx(nn.functional.cross_entropy(images[:, 0, :3, 0], labels).item(), rel=1e-6)


def test_a_class_of_no_image_or_of_all_has_no_area():
    figures = evaluate(FirstPixel(), images_with([0, 1], [1, 1]), CLASSES)
    assert [row.auc for row in figures.classes] == [None, None, None]


# mirrored, the corner is that on the right; mirrored and rotated by 90°, which is a transposition, the same
def test_predictions_that_change_under_mirroring_are_counted():
    dataset = images_with([0, 1, 2], [0, 0, 0])
    dataset.images[1, 0, 0, 3] = 1
    figures = evaluate(FirstPixel(), dataset, CLASSES, mirrorings=True)
    assert figures.changed_by_mirroring == {"0": 1, "90": 0, "180": 2, "270": 2}
    assert evaluate(FirstPixel(), dataset, CLASSES).changed_by_mirroring is None


@pytest.mark.parametrize(("group", "changes"), [("p4m", False), ("p4", True)])
def test_a_mirroring_changes_nothing_for_a_p4m_network(group, changes):
    torch.manual_seed(0)
    network = ag.create_model("p4cnn", group=group, channels=3, num_classes=3)
    dataset = InMemoryDataset(torch.randn(40, 1, 28, 28), torch.zeros(40, dtype=torch.int64))
    figures = evaluate(network, dataset, CLASSES, mirrorings=True, rotations=False, dtype=torch.float64)
    assert (sum(figures.changed_by_mirroring.values()) > 0) == changes
    assert figures.changed_by_rotation is None


@pytest.mark.parametrize(("name", "changes"), [("p4cnn", False), ("z2cnn", True)])
def test_a_rotation_changes_nothing_for_an_equivariant_network_alone(name, changes):
    torch.manual_seed(1)
    network = ag.create_model(name, channels=3, num_classes=3)
    dataset = InMemoryDataset(torch.randn(40, 1, 28, 28), torch.zeros(40, dtype=torch.int64))
    figures = evaluate(network, dataset, CLASSES, dtype=torch.float64)
    assert (sum(figures.changed_by_rotation.values()) > 0) == changes


def test_rotation_can_be_left_out_and_only_half_turns_fit_oblong_images():
    square = images_with([0], [0])
    assert evaluate(FirstPixel(), square, CLASSES, rotations=False).changed_by_rotation is None
    oblong = InMemoryDataset(torch.zeros(1, 1, 4, 6), torch.zeros(1, dtype=torch.int64))
    assert evaluate(FirstPixel(), oblong, CLASSES).changed_by_rotation == {"180": 0}


def test_a_limit_takes_the_first_images():
    figures = evaluate(FirstPixel(), images_with([0, 1, 2], [0, 0, 0]), CLASSES, limit=2)
    assert (figures.images, figures.error) == (2, 0.5)
    assert evaluate(FirstPixel(), images_with([0], [0]), CLASSES, limit=9).images == 1


def test_workers_change_nothing_but_the_speed():
    dataset = images_with([0, 0, 1, 1, 0], [0, 0, 0, 1, 1])
    assert evaluate(FirstPixel(), dataset, CLASSES, workers=1) == evaluate(FirstPixel(), dataset, CLASSES)


@pytest.mark.parametrize(
    ("dataset", "classes", "options", "message"),
    [
        (images_with([0], [0]), CLASSES, {"limit": 0}, r"limit \(=0\)"),
        (images_with([0], [0]), ("a", "b"), {}, r"logits \(1, 3\) where \(1, 2\)"),
        (images_with([0], [5]), CLASSES, {}, "labels from 5 to 5 do not fit 3 classes"),
        (InMemoryDataset(torch.zeros(0, 1, 4, 4), torch.zeros(0, dtype=torch.int64)), CLASSES, {}, "no images"),
    ],
)
def test_what_cannot_be_measured_is_refused(dataset, classes, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(FirstPixel(), dataset, classes, **options)


def test_predictions_are_kept_image_by_image():
    figures = evaluate(FirstPixel(), images_with([2, 0, 1], [2, 1, 1]), CLASSES, rotations=False, batch_size=2)
    assert figures.predicted == (2, 0, 1)
    assert "predicted" not in figures.to_mapping()


def test_more_workers_than_the_machine_can_carry_are_refused():
    with pytest.raises(ValueError, match=r"workers \(=100000\) is more than this machine can run: take at most \d+"):
        evaluate(FirstPixel(), images_with([0], [0]), CLASSES, workers=100_000)


def test_logits_that_are_not_finite_are_refused():
    """NaN counted as a class: the error was a number like any other."""

    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 3), float("nan"))

    with pytest.raises(ValueError, match=r"logits that are not finite in torch\.float32"):
        evaluate(Broken(), images_with([0, 1], [0, 1]), CLASSES)
