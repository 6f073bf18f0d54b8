"""Initial weights of a training: those of a run, of a file, or shipped weights."""

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.checkpoints.opening import OpenedModel, open_model
from attentive_gconv.checkpoints.transfer import transfer_weights
from attentive_gconv.data.datasets import DATASETS
from attentive_gconv.nn import transpose_kernels_
from attentive_gconv.nn.transposition import transposed_beside_weights
from attentive_gconv.settings import ConfigError


def open_initial(init: str) -> OpenedModel:
    """Open the trained network that ``init`` names.

    Raises:
        ConfigError: if it is a ``.pth`` file, which does not say which network it holds.
        FileNotFoundError: if it does not exist.
    """
    if init.endswith((".pth", ".pt")):
        raise ConfigError(f"init (={init!r}) must be a run folder, a .safetensors file, or a network of the package")
    return open_model(init)


def settings_of_init(init: str, overrides: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Settings taken from trained weights unless they are overridden: the network, and the size of images.

    Args:
        init: the trained weights.
        overrides: settings of the command line.
        dataset: name of the dataset.
    """
    card = open_initial(init).trained.card
    settings: dict[str, Any] = {}
    if not {"model", "model.name"} & overrides.keys():
        options = {key: value for key, value in card.options.items() if key not in ("num_classes", "in_channels")}
        settings["model"] = {"name": card.model, **options}
        height, width = card.image_shape[1:]
        resizable = dataset in DATASETS and DATASETS[dataset].resizable
        if resizable and height == width and not {"dataset", "dataset.image_size"} & overrides.keys():
            settings["dataset.image_size"] = height
    return settings


def take_initial_weights(network: nn.Module, init: str, card: ModelCard) -> dict[str, Any]:
    """Copy trained weights into a network: every tensor of the same name and shape.

    Args:
        network: the network to train.
        init: the trained weights.
        card: card of the network to train; weights for images with the other order of axes are transposed.

    Returns:
        Provenance of the weights: file name, SHA-256, and which tensors were kept or newly initialised.

    Raises:
        ConfigError: if no tensor has the same name and shape, or transposing the trained network would change more
            than its weights.
    """
    opened = open_initial(init)
    source = opened.trained.module
    try:
        if opened.trained.card.transposed != card.transposed:
            if changed := transposed_beside_weights(source):
                raise ValueError(
                    "the images that it was trained on have rows and columns exchanged, and transposing the network "
                    f"changes more than weights in {', '.join(changed)}: train on images stored the same way"
                )
            source = transpose_kernels_(source)
        transfer = transfer_weights(network, source)
    except ValueError as error:
        raise ConfigError(f"init (={init!r}) cannot be used for {card.model}: {error}") from error
    return {
        "network": opened.trained.card.model,
        "file": opened.origin.name,
        "sha256": hashlib.sha256(opened.origin.read_bytes()).hexdigest(),
        "summary": str(transfer),
        "adapted": list(transfer.adapted),
        "initialised": list(transfer.initialised),
    }
