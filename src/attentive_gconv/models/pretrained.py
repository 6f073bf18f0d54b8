"""Weights that come with the package: `list_pretrained`, and `create_model` with ``pretrained=True``.

``weights/NAME.safetensors`` and its card ``weights/NAME.json`` lie beside this file. The card says how they were made,
and which sha256 the weights must have: a file that was damaged or exchanged is not read.
"""

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

from torch import nn

from attentive_gconv.lookup import find

FOLDER = Path(__file__).parent / "weights"
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


def load_pretrained(name: str, model: nn.Module) -> nn.Module:
    """Fill a model with the shipped weights of that name, and put it into eval mode.

    Raises:
        ImportError: without safetensors.
        ValueError: if there are no such weights, or they do not fit the model.
    """
    path = pretrained_file(name)
    try:
        safetensors = importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise ImportError("`pretrained` (=True) needs safetensors: pip install 'attentive-gconv[train]'") from error
    state = safetensors.load_file(path)
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    if wanted != found:
        differing = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
        raise ValueError(
            f"the pretrained weights of {name!r} do not fit the options (they differ in {', '.join(differing[:3])}"
            f"{', ...' if len(differing) > 3 else ''}): leave out what changes the network, or take pretrained=False"
        )
    model.load_state_dict(state)
    return model.eval()
