"""Predict the classes of image files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.checkpoints.weights import TrainedModel
from attentive_gconv.data.image_file import ImageError
from attentive_gconv.inference.images import read_image
from attentive_gconv.resizing import Fit, border_colour


@dataclass(frozen=True)
class Guess:
    """A class and its probability (the softmax of the logits)."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The prediction for one file.

    Attributes:
        file: the path as given.
        guesses: the most probable classes, best first; empty if there is an error.
        error: why the file could not be classified; None if it was.
        looks_inverted: whether it seems to need ``invert``: a grey image with a light border, for a network that was
            trained on dark backgrounds.
    """

    file: str
    guesses: tuple[Guess, ...]
    error: str | None = None
    looks_inverted: bool = False


def predict_files(
    trained: TrainedModel, files: Iterable[str | Path], *, top: int = 1, invert: bool = False, fit: Fit = "pad"
) -> Iterator[Prediction]:
    """Classify image files one by one; a file that cannot be read does not stop the others.

    Args:
        trained: the network, on any device.
        files: PNG and JPEG files; `attentive_gconv.inference.images` describes their preprocessing.
        top: number of classes to return for each file.
        invert: exchange light and dark first.
        fit: ``"pad"`` or ``"crop"`` images of another shape.

    Raises:
        ValueError: if ``top`` is less than 1 or greater than the number of classes.
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
    # an exported network has no parameters
    like = next(trained.module.parameters(), image)
    with torch.inference_mode():
        probabilities = trained.module(image[None].to(like)).softmax(1)[0]
    if not bool(probabilities.isfinite().all()):
        return Prediction(file, (), f"{file}: the network gives logits that are not finite: its weights cannot be used")
    best = probabilities.topk(top)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    guesses = tuple(Guess(trained.card.classes[index], value) for index, value in pairs)
    return Prediction(file, guesses, looks_inverted=_looks_inverted(image, trained.card))


def _looks_inverted(image: Tensor, card: ModelCard) -> bool:
    if len(card.mean) != 1 or card.mean[0] > 0.5:
        return False
    return border_colour(image).item() * card.std[0] + card.mean[0] > 0.5
