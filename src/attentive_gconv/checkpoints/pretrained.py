"""Weights that come with the package: `list_pretrained`, and `create_model` with ``pretrained=True``.

``shipped/NAME.safetensors`` and its card ``shipped/NAME.json`` lie beside this file. The card says how they were made,
and which sha256 the weights must have: a file that was damaged or exchanged is not read.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import nn

from attentive_gconv.checkpoints.state_dicts import differences
from attentive_gconv.lookup import find
from attentive_gconv.models import build_model

FOLDER = Path(__file__).parent / "shipped"
# what is used where no network is named
DEFAULT = "alpha_f_p4cnn"


def list_pretrained() -> list[str]:
    """The networks whose trained weights come with the package.

    Example:
        >>> import attentive_gconv as ag
        >>> set(ag.list_pretrained()) <= set(ag.list_models())
        True
    """
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.with_suffix(".safetensors").is_file())


def pretrained_card(name: str) -> dict[str, Any]:
    """What is known of a network's shipped weights: data, protocol, command, versions, error, seconds, sha256.

    Raises:
        ValueError: if no weights of that name come with the package; the message offers the nearest.
    """
    names = list_pretrained()
    if not names:
        raise ValueError(
            f"no trained weights come with this installation (none in {FOLDER.name}/): train {name!r} first"
        )
    find("pretrained model", name, dict.fromkeys(names))
    card: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return card


def pretrained_file(name: str) -> Path:
    """The file of a network's shipped weights, checked.

    Raises:
        ValueError: if there are none, or the file is not the one that was shipped.
    """
    card, path = pretrained_card(name), FOLDER / f"{name}.safetensors"
    if hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
        raise ValueError(
            f"{path.name} is not the file that was shipped (its sha256 differs): install the package again"
        )
    return path


def create_model(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """Create a network by name, with initial weights or with the shipped ones.

    Args:
        name: one of `list_models`.
        pretrained: take the weights of `list_pretrained`, which were trained on the re-made rot-MNIST; the model is
            then in eval mode. What its images must look like stands in the card, see `docs/reference/models.md`.
        **options: arguments of the family's class that differ from the named variant's, such as ``num_classes``,
            ``in_channels``, ``channels``, ``group`` or ``attention``.

    Raises:
        ValueError: if the name is unknown, a value is out of range, or pretrained weights are missing or do not fit.
        ImportError: if pretrained weights are wanted without safetensors.
        TypeError: if the family has no such option; the message names those it has.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model = ag.create_model("alpha_f_p4cnn", num_classes=4, in_channels=3)
        >>> model(torch.randn(2, 3, 28, 28)).shape
        torch.Size([2, 4])
    """
    model = build_model(name, **options)
    return load_pretrained(name, model) if pretrained else model


def load_pretrained(name: str, model: nn.Module) -> nn.Module:
    """Fill a model with the shipped weights of that name, and put it into eval mode.

    Raises:
        ImportError: without safetensors.
        ValueError: if there are no such weights, or they do not fit the model.
    """
    path = pretrained_file(name)
    try:
        import safetensors.torch  # noqa: F401

        from attentive_gconv.checkpoints.weights import load_weights
    except ImportError as error:
        raise ImportError("`pretrained` (=True) needs safetensors: pip install 'attentive-gconv[train]'") from error
    state = load_weights(path).module.state_dict()
    if problems := differences(state, model.state_dict()):
        raise ValueError(
            f"the pretrained weights of {name!r} do not fit the options ({'; '.join(problems[:3])}"
            f"{'; ...' if len(problems) > 3 else ''}): leave out what changes the network, or take pretrained=False"
        )
    model.load_state_dict(state)
    return model.eval()
