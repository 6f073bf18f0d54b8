"""The checkpoints that the paper's authors released, loaded into this library's models.

Their state dicts (https://github.com/dwromero/att_gconvs, MIT licence) name layers as ours do:

    rot-MNIST, All-CNN-C    cN, bnN
    ResNet                  c1, layers_nc32|nc16|nc8.i.{bn1,c1,bn2,c2,fiber_map}, bn_out, c_out
    DenseNet                c1, block_layers.i.{bn,conv}, trans_layers.i.{bn,conv}, bn_out, c_out

Three things differ:

    module.KEY                          a prefix of multi-GPU training, dropped
    cN.channel_attention.weight_fc1     in α_F-networks here one level down: cN.attention.channel_attention.…
    cN.weight (O, C, k, k), planar      here a trivial group axis: (O, C, 1, k, k)
"""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.models import build_model, list_models

_NESTED = ".attention."


def load_reference_checkpoint(path: str | Path, model: str | nn.Module) -> nn.Module:
    """Load a checkpoint of the authors' into a model.

    Args:
        path: the ``.pth`` file; read with ``weights_only=True``.
        model: a model's name (made with its defaults), or a model to be filled.

    Returns:
        The model with the checkpoint's weights, in eval mode.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no state dict of tensors, or does not fit: every key that is missing, left over, or
            of another shape is named, and the model is left as it was.
        TypeError: if the model is neither a name nor a module.

    Example:
        >>> import attentive_gconv as ag
        >>> ag.load_reference_checkpoint("p4cnn.pth", "p4cnn")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no checkpoint at p4cnn.pth; give the path of one of the authors' .pth files
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; give the path of one of the authors' .pth files")
    if not isinstance(model, str | nn.Module):
        raise TypeError(f"`model` (={model!r}) must be a model's name or a module")
    network = build_model(model) if isinstance(model, str) else model
    label = model if isinstance(model, str) else type(model).__name__
    source = _read(path)
    state, problems = _fit(source, network.state_dict())
    if problems:
        hint = (
            f"; it fits the model {' or '.join(names)}: load it as that" if (names := _models_that_fit(source)) else ""
        )
        raise ValueError(f"checkpoint {path} does not fit the model {label}: {'; '.join(problems)}{hint}")
    network.load_state_dict(state)
    return network.eval()


def _fit(source: dict[str, Tensor], target: dict[str, Any]) -> tuple[dict[str, Tensor], list[str]]:
    """The checkpoint as a state dict of ours, and in what it differs from what the model needs."""
    ours = {key.replace(_NESTED, "."): key for key in target}
    problems = []
    if missing := sorted(set(ours) - set(source)):
        problems.append(f"missing: {', '.join(missing)}")
    if left_over := sorted(set(source) - set(ours)):
        problems.append(f"left over: {', '.join(left_over)}")
    state = {}
    for theirs, key in ours.items():
        if theirs in source:
            state[key] = _with_trivial_axis(source[theirs], target[key])
            if state[key].shape != target[key].shape:
                found, wanted = tuple(source[theirs].shape), tuple(target[key].shape)
                problems.append(f"{theirs} has shape {found}, the model needs {wanted}")
    return state, problems


def _models_that_fit(source: dict[str, Tensor]) -> list[str]:
    """The models whose weights a checkpoint holds; one of the released files is not of the network on its label."""
    with torch.device("meta"):
        return [name for name in list_models() if not _fit(source, build_model(name).state_dict())[1]]


def _read(path: Path) -> dict[str, Tensor]:
    content = io.BytesIO(path.read_bytes())
    try:
        source = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # on damaged bytes torch raises a dozen types, AssertionError and struct.error too
        raise ValueError(
            f"{path} cannot be read as a checkpoint of tensors ({type(error).__name__}); it may be truncated or of "
            "another format: fetch it again"
        ) from error
    if not isinstance(source, dict) or not all(isinstance(v, Tensor) for v in source.values()):
        raise ValueError(f"{path} holds no state dict of tensors; give one of the authors' .pth files")
    state = {str(key).removeprefix("module."): value for key, value in source.items()}
    if len(state) != len(source):
        raise ValueError(f"{path} holds weights both with and without the prefix 'module.': it mixes two models")
    return state


def _with_trivial_axis(value: Tensor, target: Tensor) -> Tensor:
    """A planar kernel with the group axis that a kernel on the trivial group has here."""
    if value.dim() == 4 and target.dim() == 5 and target.shape[2] == 1:
        return value.unsqueeze(2)
    return value
