"""Files of exported networks: ONNX, `torch.export` (pt2) and AOTInductor (aoti), each with the model card inside.

    onnx   any runtime of ONNX, in any language; `attentive_gconv.export.open_onnx` reads it
    pt2    ``torch.export.load(path).module()``, any device that PyTorch has
    aoti   ``torch._inductor.aoti_load_package(path)``, machine code for this kind of machine

All hold the module of `to_conv2d`: they are opened without this library. The metadata are three texts:
``attentive_gconv`` (the model card as JSON), ``license`` and ``sha256``.
"""

import copy
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from attentive_gconv.checkpoints.weights import DIGEST_KEY, METADATA_KEY, weights_digest
from attentive_gconv.export.conv2d_network import plain_program
from attentive_gconv.files import atomic_path, write_atomically
from attentive_gconv.lookup import find

if TYPE_CHECKING:
    from attentive_gconv.checkpoints.model_card import ModelCard

LICENSE_KEY = "license"
FORMATS = {"onnx": ".onnx", "pt2": ".pt2", "aoti": ".pt2"}


def export(
    model: nn.Module,
    path: str | Path,
    format: str = "onnx",
    *,
    card: "ModelCard | None" = None,
    license: str = "",
    image_shape: Sequence[int] | None = None,
    dynamic_size: bool = True,
    calibration: Tensor | None = None,
) -> Path:
    """Write a network to a file that is opened without this library, with an atomic write.

    Args:
        model: a network in eval mode, ours or one built of our layers. ONNX files are in float32 in any case.
        path: the file; it ends in ``.onnx`` or, in the other formats, ``.pt2``.
        format: ``"onnx"``, ``"pt2"`` or ``"aoti"`` (needs a C++ compiler).
        card: the model card, for the file's metadata; `agconv predict` needs it.
        license: of the weights, an SPDX name such as ``"MIT"``, for the file's metadata.
        image_shape, dynamic_size: as in `to_conv2d`; by default the shape is that of the card.
        calibration: standardised images ``(N, C, Y, X)`` of the training set: the file is then quantized to int8, see
            `attentive_gconv.export.int8`. ONNX alone.

    Returns:
        The path.

    Raises:
        ValueError: on an unknown format, a wrong ending, a model in training mode, or calibration in another format.
        ImportError: if what the format needs is not installed; the message says how to get it.

    Example:
        >>> import tempfile, torch, attentive_gconv as ag
        >>> model = ag.create_model("p4cnn").eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = ag.export.export(model, f"{folder}/p4cnn.pt2", format="pt2")
        ...     torch.export.load(path).module()(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """
    find("format", format, FORMATS)
    path = Path(path)
    if path.suffix != FORMATS[format]:
        raise ValueError(f"`path` (={str(path)!r}) must end in {FORMATS[format]!r} for format={format!r}")
    if calibration is not None and format != "onnx":
        raise ValueError(f"`calibration` quantizes format='onnx' alone, not {format!r}: leave it out")
    if format == "onnx":  # onnxruntime has no convolution in float64
        model = copy.deepcopy(model).float()
    if image_shape is None and card is not None:
        image_shape = card.image_shape
    plain, program = plain_program(model, image_shape, dynamic_size=dynamic_size)
    text = "" if card is None else json.dumps(asdict(card))
    metadata = {METADATA_KEY: text, LICENSE_KEY: license, DIGEST_KEY: weights_digest(text, plain.state_dict())}
    if calibration is not None:
        from attentive_gconv.export.int8 import write_int8

        write_int8(program, path, metadata, calibration)
    else:
        _WRITERS[format](program, path, metadata)
    return path


def _write_onnx(program: torch.export.ExportedProgram, path: Path, metadata: dict[str, str]) -> None:
    from attentive_gconv.export.onnx_file import graph_of, write_onnx

    write_onnx(path, graph_of(program), metadata)


def _write_pt2(program: torch.export.ExportedProgram, path: Path, metadata: dict[str, str]) -> None:
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=metadata)
    write_atomically(path, content.getvalue())


def _write_aoti(program: torch.export.ExportedProgram, path: Path, metadata: dict[str, str]) -> None:
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.exc import InvalidCxxCompiler

    with atomic_path(path) as partial:
        try:
            aoti_compile_and_package(
                program, package_path=str(partial), inductor_configs={"aot_inductor.metadata": metadata}
            )
        except InvalidCxxCompiler as error:
            raise ImportError("`format` (='aoti') needs a C++ compiler: install g++ or clang, or take 'pt2'") from error


_WRITERS: dict[str, Callable[[torch.export.ExportedProgram, Path, dict[str, str]], None]] = {
    "onnx": _write_onnx,
    "pt2": _write_pt2,
    "aoti": _write_aoti,
}
