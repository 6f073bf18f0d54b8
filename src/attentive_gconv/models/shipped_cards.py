"""The weights that come with the package: which there are, their cards, and their files.

``MODEL.TAG.safetensors`` and its card ``MODEL.TAG.json`` lie in ``checkpoints/shipped``; the tag says what the weights
were trained on. The card says how they were made, and which sha256 they must have: a file that was damaged or exchanged
is not read.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from attentive_gconv.lookup import find

FOLDER = Path(__file__).parents[1] / "checkpoints" / "shipped"


def list_pretrained() -> list[str]:
    """The trained weights that come with the package, as ``"MODEL.TAG"``; the tag says what they were trained on.

    Example:
        >>> import attentive_gconv as ag
        >>> {name.partition(".")[0] for name in ag.list_pretrained()} <= set(ag.list_models())
        True
    """
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.with_suffix(".safetensors").is_file())


def pretrained_name(name: str) -> str:
    """The whole name ``"MODEL.TAG"`` of shipped weights; a network alone stands for the first of its tags.

    Raises:
        ValueError: if no weights of that name come with the package; the message offers the nearest.

    Example:
        >>> pretrained_name("p4cnn")
        'p4cnn.rot_mnist'
    """
    names = list_pretrained()
    if not names:
        raise ValueError(
            f"no trained weights come with this installation (none in {FOLDER.name}/): train {name!r} first"
        )
    alone = {each.partition(".")[0]: each for each in reversed(names)}
    return find("pretrained model", name, alone | {each: each for each in names})


def pretrained_card(name: str) -> dict[str, Any]:
    """What is known of a network's shipped weights: data, protocol, command, versions, error, seconds, sha256.

    ``transposed`` says whether the images of the training were stored columns first, as those of rot-MNIST are. The
    network that `create_model` gives takes upright images all the same.

    Raises:
        ValueError: if no weights of that name come with the package; the message offers the nearest.
    """
    card: dict[str, Any] = json.loads((FOLDER / f"{pretrained_name(name)}.json").read_text(encoding="utf-8"))
    return card


def pretrained_file(name: str) -> Path:
    """The file of a network's shipped weights, checked.

    Raises:
        ValueError: if there are none, or the file is not the one that was shipped.
    """
    card, path = pretrained_card(name), FOLDER / f"{pretrained_name(name)}.safetensors"
    if hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
        raise ValueError(
            f"{path.name} is not the file that was shipped (its sha256 differs): install the package again"
        )
    return path
