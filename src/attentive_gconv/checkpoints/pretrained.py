"""Shipped weights: `create_model` with ``pretrained=True``.

Weights that were trained on images stored columns first (rot-MNIST) are transposed when they are loaded, so that every
network takes upright images: `attentive_gconv.nn.transpose_kernels_`.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn

from attentive_gconv.checkpoints.state_dicts import differences
from attentive_gconv.checkpoints.transfer import Transfer, transfer_weights
from attentive_gconv.models import FeatureMaps, ImageClassifier, build_model, list_models
from attentive_gconv.models.shipped_cards import list_pretrained, pretrained_card, pretrained_file, pretrained_name
from attentive_gconv.nn import transpose_kernels_

if TYPE_CHECKING:
    from attentive_gconv.checkpoints.weights import TrainedModel

__all__ = ["DEFAULT", "create_model", "list_pretrained", "load_shipped", "pretrained_card", "pretrained_file"]

# the default of the command line
DEFAULT = "alpha_f_p4cnn.rot_mnist"

_LOG = logging.getLogger("attentive_gconv")


def create_model(
    name: str,
    *,
    pretrained: bool = False,
    features_only: bool = False,
    out_indices: int | Sequence[int] | None = None,
    **options: Any,
) -> nn.Module:
    """Create a network by name, with initial weights or with the shipped ones.

    Args:
        name: one of `list_models`; with a tag, as ``"p4cnn.rot_mnist"``, one of `list_pretrained`. Without
            ``pretrained`` the tag changes nothing.
        pretrained: load the weights of that name, or without a tag the first weights of that network. The model is then
            in eval mode and takes upright images, preprocessed by `attentive_gconv.models.transform`. With another
            ``num_classes`` or ``in_channels`` all weights that fit are kept and the first kernel is adapted; the logger
            ``attentive_gconv`` warns which weights are newly initialised.
        features_only: return an `attentive_gconv.models.FeatureMaps` of the network, which gives intermediate maps.
        out_indices: with ``features_only``, indices of these maps; None for all.
        **options: arguments of the family's class that differ from the named variant's, such as ``num_classes`` (0: no
            classifier), ``in_channels``, ``channels``, ``group`` or ``attention``.

    Raises:
        ValueError: if the name is unknown, a value is out of range, or pretrained weights are missing or do not fit.
        ImportError: if ``pretrained`` is set and safetensors is missing.
        TypeError: if the family has no such option; the message names those it has.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model = ag.create_model("alpha_f_p4cnn", num_classes=4, in_channels=3)
        >>> model(torch.randn(2, 3, 28, 28)).shape
        torch.Size([2, 4])
        >>> maps = ag.create_model("p4_allcnnc", features_only=True)(torch.randn(1, 3, 32, 32))
        >>> [tuple(map_.shape) for map_ in maps]
        [(1, 48, 4, 32, 32), (1, 96, 4, 16, 16), (1, 96, 4, 8, 8)]
    """
    if out_indices is not None and not features_only:
        raise ValueError(f"`out_indices` (={out_indices!r}) has no meaning without features_only=True")
    tagged = isinstance(name, str) and "." in name and name not in list_models()
    model = build_model(pretrained_name(name).partition(".")[0] if tagged else name, **options)
    if pretrained:
        _fill(name, model)
    return FeatureMaps(model, out_indices).train(model.training) if features_only else model


def load_shipped(name: str) -> "TrainedModel":
    """Load shipped weights by name: the network, which takes upright images, and its model card.

    Raises:
        ImportError: without safetensors.
        ValueError: if there are no such weights, or they are damaged.
    """
    path = pretrained_file(name)
    try:
        import safetensors.torch  # noqa: F401

        from attentive_gconv.checkpoints.weights import TrainedModel, load_weights
    except ImportError as error:
        raise ImportError("`pretrained` (=True) needs safetensors: pip install 'attentive-gconv[train]'") from error
    trained = load_weights(path)
    if not trained.card.transposed:
        return trained
    channels, height, width = trained.card.image_shape
    card = replace(trained.card, transposed=False, image_shape=(channels, width, height))
    return TrainedModel(transpose_kernels_(trained.module), card)


def _fill(name: str, model: nn.Module) -> None:
    """Fill a model with the shipped weights of that name, and put it into eval mode."""
    state = load_shipped(name).module.state_dict()
    if problems := _refused(state, model):
        raise ValueError(
            f"the pretrained weights of {name!r} do not fit the options ({'; '.join(problems[:3])}"
            f"{'; ...' if len(problems) > 3 else ''}): leave out what changes the network other than num_classes and "
            "in_channels, or take pretrained=False"
        )
    transfer: Transfer = transfer_weights(model, state)
    model.eval()
    if not transfer.complete:
        _LOG.warning("pretrained weights of %s: %s", name, transfer)


def _refused(state: dict[str, Any], model: nn.Module) -> list[str]:
    """Differences that neither another number of classes nor of input channels explains."""
    wanted = model.state_dict()
    if isinstance(model, ImageClassifier):
        free = (f"{model.stem}.", *(f"{name}." for name in model.classifier))
        state, wanted = (
            {key: value for key, value in weights.items() if not key.startswith(free)} for weights in (state, wanted)
        )
    return differences(state, wanted)
