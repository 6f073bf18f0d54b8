"""Evaluation on a dataset: error; recall, precision and ROC AUC of each class; confusion matrix; turned inputs."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from attentive_gconv.environment import require_workers


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one class; None where a ratio would be 0/0.

    Attributes:
        name: of the class.
        count: number of its images.
        recall: the fraction of its images that are predicted to be of it.
        precision: the fraction of the images predicted to be of it that are.
        auc: area under the ROC curve of the class against all others: how often an image of it is given a higher
            probability of it than an image of another class; equal ones count half.
    """

    name: str
    count: int
    recall: float | None
    precision: float | None
    auc: float | None


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`; errors and accuracies are fractions of 1.

    Attributes:
        images: number of images.
        error, accuracy: fractions of wrong and right predictions.
        loss: mean cross-entropy.
        classes: figures of each class.
        confusion: the confusion matrix; entry ``[true][predicted]`` counts images.
        changed_by_rotation: for each angle in degrees, the number of images whose prediction changes when the input is
            rotated by it: 0, up to rounding, for a network that is equivariant by construction. None if it was not
            measured; 90° and 270° are omitted if the images are not square.
        changed_by_mirroring: the same for inputs that are mirrored left to right and then rotated, from "0" on; 0 for
            p4m-networks. None if it was not measured.
        predicted: the predicted class of every image, in the order of the dataset.
    """

    images: int
    error: float
    accuracy: float
    loss: float
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    changed_by_rotation: dict[str, int] | None
    changed_by_mirroring: dict[str, int] | None
    predicted: tuple[int, ...] = field(repr=False)

    def to_mapping(self) -> dict[str, Any]:
        """The result as plain values, without `predicted`."""
        return {name: value for name, value in asdict(self).items() if name != "predicted"}


def evaluate(
    module: nn.Module,
    dataset: Dataset[tuple[Tensor, int]],
    classes: tuple[str, ...],
    *,
    rotations: bool = True,
    mirrorings: bool = False,
    limit: int | None = None,
    batch_size: int = 250,
    workers: int = 0,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """Measure a network on labelled images.

    Args:
        module: images ``(B, C, Y, X)`` to logits ``(B, len(classes))``. It is moved to the dtype and device, and put
            into eval mode.
        dataset: pairs of an image ``(C, Y, X)`` and an int label.
        classes: names of the classes.
        rotations: whether to count predictions that change when the input is rotated; three more passes.
        mirrorings: whether to count those that change when it is mirrored, and mirrored and rotated; four more.
        limit: evaluate only the first ``limit`` images.
        batch_size: number of images in a batch.
        workers: number of worker processes that load images.
        dtype, device: of the evaluation.

    Raises:
        ValueError: if there are no images, labels or logits do not fit the classes, or logits are not finite.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit (={limit}) must be at least 1, or None for all images")
    size = len(dataset)  # type: ignore[arg-type]
    if size == 0:
        raise ValueError("dataset holds no images")
    require_workers(workers)
    loader = DataLoader(Subset(dataset, range(min(size, limit or size))), batch_size=batch_size, num_workers=workers)
    module = module.to(device=device, dtype=dtype).eval()
    found: list[Tensor] = []
    truth: list[Tensor] = []
    rotated, mirrored = dict[str, int](), dict[str, int]()
    with torch.inference_mode():
        for images, labels in loader:
            images = images.to(device=device, dtype=dtype)
            logits = module(images)
            _require_matching(logits, labels, len(classes))
            found.append(logits.cpu())
            truth.append(labels)
            if rotations:
                _count_changes(rotated, module, images, logits.argmax(1), turns=(1, 2, 3))
            if mirrorings:
                _count_changes(mirrored, module, images.flip(-1), logits.argmax(1), turns=(0, 1, 2, 3))
    logits, labels = torch.cat(found), torch.cat(truth)
    return _figures(logits, labels, classes, rotated if rotations else None, mirrored if mirrorings else None)


def _count_changes(
    counts: dict[str, int], module: nn.Module, images: Tensor, predicted: Tensor, turns: tuple[int, ...]
) -> None:
    """Add to the counts, by the angle in degrees, the predictions that differ when the images are rotated."""
    for k in turns:
        if k % 2 == 0 or images.shape[-1] == images.shape[-2]:
            found = module(images.rot90(k, (-2, -1))).argmax(1)
            counts[str(90 * k)] = counts.get(str(90 * k), 0) + int((found != predicted).sum())


def _require_matching(logits: Tensor, labels: Tensor, classes: int) -> None:
    if logits.shape != (len(labels), classes):
        raise ValueError(f"the network gives logits {tuple(logits.shape)} where ({len(labels)}, {classes}) are needed")
    if not bool(logits.isfinite().all()):
        raise ValueError(f"the network gives logits that are not finite in {logits.dtype}: its weights cannot be used")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"labels from {int(labels.min())} to {int(labels.max())} do not fit {classes} classes")


def _figures(
    logits: Tensor,
    labels: Tensor,
    classes: tuple[str, ...],
    rotated: dict[str, int] | None,
    mirrored: dict[str, int] | None,
) -> Evaluation:
    images, predicted = len(labels), logits.argmax(1)
    pairs = torch.bincount(labels * len(classes) + predicted, minlength=len(classes) ** 2)
    confusion = pairs.view(len(classes), len(classes))
    correct = int(confusion.diagonal().sum())
    areas = _areas(logits.double().softmax(1), labels)
    rows = [
        ClassFigures(
            name,
            int(confusion[i].sum()),
            _ratio(confusion[i, i], confusion[i].sum()),
            _ratio(confusion[i, i], confusion[:, i].sum()),
            areas[i],
        )
        for i, name in enumerate(classes)
    ]
    return Evaluation(
        images=images,
        error=(images - correct) / images,
        accuracy=correct / images,
        loss=F.cross_entropy(logits.double(), labels).item(),
        classes=tuple(rows),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        changed_by_rotation=rotated,
        changed_by_mirroring=mirrored,
        predicted=tuple(predicted.tolist()),
    )


def _areas(probabilities: Tensor, labels: Tensor) -> list[float | None]:
    """The area under the ROC curve of each class against the others: the Mann-Whitney statistic, from mean ranks.

    Written here because evaluation needs PyTorch alone; the tests compare it with scikit-learn's.
    """
    areas: list[float | None] = []
    for k, column in enumerate(probabilities.unbind(1)):
        of_class = labels == k
        ours, others = int(of_class.sum()), int((~of_class).sum())
        _, place, counts = column.unique(return_inverse=True, return_counts=True)
        ranks = counts.cumsum(0) - (counts - 1) / 2
        above = float(ranks[place[of_class]].sum()) - ours * (ours + 1) / 2
        areas.append(above / (ours * others) if ours and others else None)
    return areas


def _ratio(part: Tensor, whole: Tensor) -> float | None:
    return int(part) / int(whole) if int(whole) else None
