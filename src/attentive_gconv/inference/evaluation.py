"""Figures of a trained network on a dataset: error, per class, and under rotation of the input."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

QUARTER_TURNS = {"90": 1, "180": 2, "270": 3}


@dataclass(frozen=True)
class ClassFigures:
    """One class: how many images it has, the part of them recognised, and the part of its predictions that are right.

    A figure that would be 0/0 is None.
    """

    name: str
    count: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measured; errors and accuracies are fractions of 1.

    Attributes:
        images: how many were looked at.
        loss: mean cross-entropy.
        confusion: entry ``[true][predicted]`` counts images.
        changed_by_rotation: degrees to the number of images whose prediction changes when the input is turned by as
            much; None if this was not asked for. For a network that is equivariant by construction it is 0, up to
            rounding; a turn by 90° or 270° is left out if the images are not square.
    """

    images: int
    error: float
    accuracy: float
    loss: float
    classes: tuple[ClassFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    changed_by_rotation: dict[str, int] | None

    def to_mapping(self) -> dict[str, Any]:
        """The figures as plain values."""
        return asdict(self)


def evaluate(
    module: nn.Module,
    dataset: Dataset,
    classes: tuple[str, ...],
    *,
    prepare: Callable[[Tensor], Tensor] | None = None,
    rotations: bool = True,
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
        dataset: items are an image ``(C, Y, X)`` and an int label.
        classes: their names.
        prepare: applied to every batch of images first.
        rotations: whether to count predictions that change with a rotation of the input, at four times the cost.
        limit: look at the first so many images only.
        batch_size: images at a time.
        workers: processes that load images.

    Raises:
        ValueError: if there are no images, or labels and logits do not agree with the classes.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit (={limit}) must be at least 1, or None for all images")
    size = len(dataset)  # type: ignore[arg-type]
    if size == 0:
        raise ValueError("dataset holds no images")
    loader = DataLoader(Subset(dataset, range(min(size, limit or size))), batch_size=batch_size, num_workers=workers)
    module = module.to(device=device, dtype=dtype).eval()
    confusion = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    changed: dict[str, int] = {}
    loss = 0.0
    with torch.inference_mode():
        for images, labels in loader:
            images, labels = images.to(device=device, dtype=dtype), labels.to(device)
            if prepare is not None:
                images = prepare(images)
            logits = module(images)
            _require_matching(logits, labels, len(classes))
            predicted = logits.argmax(1)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            pairs = torch.bincount((labels * len(classes) + predicted).cpu(), minlength=len(classes) ** 2)
            confusion += pairs.view_as(confusion)
            for degrees, turns in QUARTER_TURNS.items() if rotations else ():
                if turns == 2 or images.shape[-1] == images.shape[-2]:
                    turned = module(torch.rot90(images, turns, (-2, -1))).argmax(1)
                    changed[degrees] = changed.get(degrees, 0) + int((turned != predicted).sum())
    return _figures(confusion, loss, classes, changed if rotations else None)


def restandardise(
    mean: tuple[float, ...], std: tuple[float, ...], to_mean: tuple[float, ...], to_std: tuple[float, ...]
) -> Callable[[Tensor], Tensor] | None:
    """The map from images standardised with one mean and std to another; None if they are the same."""
    if (mean, std) == (to_mean, to_std):
        return None

    def column(values: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device).view(-1, 1, 1)

    def convert(images: Tensor) -> Tensor:
        raw = images * column(std, images) + column(mean, images)
        return (raw - column(to_mean, images)) / column(to_std, images)

    return convert


def _require_matching(logits: Tensor, labels: Tensor, classes: int) -> None:
    if logits.shape != (len(labels), classes):
        raise ValueError(f"the network gives logits {tuple(logits.shape)} where ({len(labels)}, {classes}) are needed")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(f"labels from {int(labels.min())} to {int(labels.max())} do not fit {classes} classes")


def _figures(confusion: Tensor, loss: float, classes: tuple[str, ...], changed: dict[str, int] | None) -> Evaluation:
    images = int(confusion.sum())
    correct = int(confusion.diagonal().sum())
    rows = [
        ClassFigures(
            name,
            int(confusion[i].sum()),
            _ratio(confusion[i, i], confusion[i].sum()),
            _ratio(confusion[i, i], confusion[:, i].sum()),
        )
        for i, name in enumerate(classes)
    ]
    return Evaluation(
        images=images,
        error=(images - correct) / images,
        accuracy=correct / images,
        loss=loss / images,
        classes=tuple(rows),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        changed_by_rotation=changed,
    )


def _ratio(part: Tensor, whole: Tensor) -> float | None:
    return int(part) / int(whole) if int(whole) else None
