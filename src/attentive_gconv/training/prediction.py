"""Classifying picture files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from attentive_gconv.training.images import Fit, ImageError, read_image
from attentive_gconv.training.weights import TrainedModel


@dataclass(frozen=True)
class Guess:
    """A class and its probability (the softmax of the logits)."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the network says of one file.

    Attributes:
        file: as it was given.
        guesses: the most probable classes, best first; empty if the file could not be read.
        error: why it could not be read, else None.
    """

    file: str
    guesses: tuple[Guess, ...]
    error: str | None = None


def predict_files(
    trained: TrainedModel, files: Iterable[str | Path], *, top: int = 1, invert: bool = False, fit: Fit = "pad"
) -> Iterator[Prediction]:
    """Classify picture files one by one; a file that cannot be read does not keep the others from being classified.

    Args:
        trained: the network.
        files: PNG and JPEG files; `attentive_gconv.training.images` says how they become its input.
        top: how many classes to name.
        invert: exchange light and dark first.
        fit: ``"pad"`` or ``"crop"`` pictures of another shape.

    Raises:
        ValueError: if `top` is less than 1 or more than there are classes.
    """
    classes = trained.card.classes
    if not 1 <= top <= len(classes):
        raise ValueError(f"top (={top}) must lie between 1 and {len(classes)}, the number of classes")
    return (_predict(trained, str(file), top, invert, fit) for file in files)


def _predict(trained: TrainedModel, file: str, top: int, invert: bool, fit: Fit) -> Prediction:
    try:
        image = read_image(file, trained.card, invert=invert, fit=fit)
    except ImageError as error:
        return Prediction(file, (), str(error))
    dtype = next(trained.module.parameters()).dtype
    with torch.inference_mode():
        probabilities = trained.module(image[None].to(dtype)).softmax(1)[0]
    best = probabilities.topk(top)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return Prediction(file, tuple(Guess(trained.card.classes[index], value) for index, value in pairs))
