"""Prediction, attention maps and equivariance error of a network for a rotated and mirrored image."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attentive_gconv.checkpoints.weights import TrainedModel
from attentive_gconv.inference.images import standardised
from attentive_gconv.visualize.display import Display
from attentive_gconv.visualize.explanation import Explanation, explain
from attentive_gconv.visualize.turning import all_poses, turned


@dataclass(frozen=True)
class NetworkView:
    """Prediction and attention of one network for one image at one angle.

    Attributes:
        name: name of the network.
        image: the network's input, upright for display.
        guesses: the most probable classes and their probabilities, best first.
        explanation: explanation of the rotated image.
        display: conversion of images and maps.
        error: the equivariance error of the map at this angle, as `attentive_gconv.visualize.turning` defines it.
        at_right_angles: largest difference of the maps at multiples of 90°, relative to their largest value.
    """

    name: str
    image: np.ndarray
    guesses: list[tuple[str, float]]
    explanation: Explanation
    display: Display
    error: float
    at_right_angles: float


def view_network(
    trained: TrainedModel, pixels: Tensor, degrees: float, *, mirror: bool = False, invert: bool = False
) -> NetworkView:
    """Rotate and mirror an image, and run a network on it.

    Args:
        trained: the network.
        pixels: ``(3, Y, X)`` in [0, 1], upright.
        degrees: angle of rotation, counter-clockwise on screen.
        mirror: exchange left and right first.
        invert: exchange light and dark first.
    """
    card = trained.card
    display = Display(card.mean, card.std, card.transposed)
    upright = pixels.flip(-1) if mirror else pixels
    image = standardised(upright, card, invert=invert).to(next(trained.module.parameters()))
    turn = turned(trained.module, image, torch.tensor([degrees], dtype=torch.float64), sense=display.sense())
    poses = all_poses(trained.module, image)
    largest = float(poses.maps.abs().max())
    exact = poses.differences[list(poses.group.exact_elements)]
    probabilities = turn.outputs[0].softmax(0)
    best = probabilities.topk(min(5, len(card.classes)))
    return NetworkView(
        name=card.model,
        image=display.pixels(turn.images[0]),
        guesses=[(card.classes[int(i)], float(p)) for p, i in zip(best.values, best.indices, strict=True)],
        explanation=explain(trained.module, turn.images[0]),
        display=display,
        error=float(turn.errors[0]),
        at_right_angles=float(exact.abs().max()) / largest if largest else 0.0,
    )
