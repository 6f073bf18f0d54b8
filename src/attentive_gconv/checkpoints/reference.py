"""Load the checkpoints that the paper's authors released into this library's models.

Their state dicts (https://github.com/dwromero/att_gconvs, MIT licence) name layers as ours do:

    rot-MNIST, All-CNN-C    cN, bnN
    ResNet                  c1, layers_nc32|nc16|nc8.i.{bn1,c1,bn2,c2,fiber_map}, bn_out, c_out
    DenseNet                c1, block_layers.i.{bn,conv}, trans_layers.i.{bn,conv}, bn_out, c_out

Three things differ:

    module.KEY                          prefix of multi-GPU training; removed
    cN.channel_attention.weight_fc1     in α_F-networks here one level down: cN.attention.channel_attention.…
    cN.weight (O, C, k, k), planar      here a trivial group axis: (O, C, 1, k, k)
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.checkpoints.state_dicts import differences, unusable
from attentive_gconv.checkpoints.torch_files import load_data
from attentive_gconv.models import build_model
from attentive_gconv.models.catalogue import CATALOGUE

_NESTED = ".attention."
# SHA-256 of both halves of each released file, by file size: if only one half matches, the file is damaged; if neither
# matches, it holds other weights
RELEASED = {
    128348: (  # alpha_f_p4cnn.pth
        "3fad9938e6c52696a097c43fa298e389478ab32f82945c3324f82fe326850425",
        "0307296adf9d121fc0623f0410fb7613da9d17b319f4b9bc654e19aee6d5f6c8",
    ),
    303825: (  # alpha_p4cnn.pth
        "7e8a807a39dce2500194f87169baca445d56d7e85f6d9d2cfd2d8ead9c44a77a",
        "240b4442664e559ea0ad10e939d8935c2ad6fc09ce9bea115232a20cb01c154a",
    ),
    104541: (  # p4cnn.pth
        "66af28cca8d46d225ca6ca3b06a9056d73d8a4a6a4d944ee206a235e5d4963ca",
        "6d60ddd9fa9c730e2eda9f1f639f75d5c1b6864fab8fad381bc7ef465acb0aee",
    ),
    93032: (  # z2cnn.pth
        "982408b94c980b9caa945efad5569c4bfa074af33b3b0446636592de8e40f40f",
        "7ea01a0b96beff1531205681b170ba0384a9f4da2a64fcfe6351f843fa4c6032",
    ),
}


def load_reference_checkpoint(path: str | Path, model: str | nn.Module) -> nn.Module:
    """Load one of the authors' checkpoints into a model.

    Args:
        path: the ``.pth`` file; read with ``weights_only=True``.
        model: the name of a model, which is created with its defaults, or a model.

    Returns:
        The model with the checkpoint's weights, in eval mode.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file does not hold a state dict of tensors, or does not fit: every key that is missing, left
            over, or of another shape is named, and the model is unchanged.
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
    """The checkpoint with our names, and its differences from the model's state dict."""
    names = {key.replace(_NESTED, "."): key for key in target}
    found = {theirs: _with_trivial_axis(value, target.get(names.get(theirs, ""))) for theirs, value in source.items()}
    problems = differences(found, {theirs: target[key] for theirs, key in names.items()})
    return {key: found[theirs] for theirs, key in names.items() if theirs in found}, problems


def _models_that_fit(source: dict[str, Tensor]) -> list[str]:
    """Names of the models that a checkpoint fits; one released file belongs to another network than it says."""
    names = [entry.name for entry in CATALOGUE]
    with torch.device("meta"):
        return [name for name in names if not _fit(source, build_model(name).state_dict())[1]]


def _read(path: Path) -> dict[str, Tensor]:
    content = path.read_bytes()
    halves = tuple(sha256(half).hexdigest() for half in (content[: len(content) // 2], content[len(content) // 2 :]))
    right = [one == other for one, other in zip(halves, RELEASED.get(len(content), ()), strict=False)]
    if any(right) and not all(right):
        raise ValueError(
            f"{path} is a damaged copy of a file that the authors released (its sha256 differs): fetch it again"
        )
    try:
        source = load_data(content)
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
    if problems := unusable(state):
        raise ValueError(f"{path} cannot be used: {'; '.join(problems[:3])}; give one of the authors' .pth files")
    return state


def _with_trivial_axis(value: Tensor, target: Tensor | None) -> Tensor:
    """A planar kernel with the trivial group axis that kernels have here."""
    if target is not None and value.dim() == 4 and target.dim() == 5 and target.shape[2] == 1:
        return value.unsqueeze(2)
    return value
