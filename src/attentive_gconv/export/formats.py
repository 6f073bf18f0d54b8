"""Exported files: ONNX, `torch.export` (pt2) and AOTInductor (aoti), with the model card in their metadata.

    onnx   any ONNX runtime, in any language; `attentive_gconv.export.open_onnx` opens it
    pt2    ``torch.export.load(path).module()``, on any device of PyTorch
    aoti   ``torch._inductor.aoti_load_package(path)``, machine code for the kind of machine that compiled it

All hold the module of `to_conv2d`, with loops in wide layers of full attention, and run without this library. Their
metadata are ``attentive_gconv`` (the model card as JSON), ``license`` and ``sha256``.
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
LOGITS = ("logits",)
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
    outputs: Sequence[str] = LOGITS,
) -> Path:
    """Write a network to a file that runs without this library.

    Args:
        model: a network in eval mode, of this library or built from its layers. ONNX files are always float32.
        path: the file, ``.onnx`` or, for the other formats, ``.pt2``; written with an atomic write.
        format: ``"onnx"``, ``"pt2"`` or ``"aoti"`` (needs a C++ compiler).
        card: the model card, for the file's metadata; `agconv predict` needs it.
        license: licence of the weights, an SPDX identifier such as ``"MIT"``, for the file's metadata.
        image_shape, dynamic_size: as in `to_conv2d`; by default the shape is that of the card.
        calibration: standardised training images ``(N, C, Y, X)``; if given, the file is quantized to int8, see
            `attentive_gconv.export.int8`. Only for ``"onnx"``.
        outputs: names of the outputs, logits first, if the model returns several, such as attention maps beside the
            logits. Only for ``"onnx"``; the other formats have no such names.

    Returns:
        The path.

    Raises:
        ValueError: on an unknown format, a wrong suffix, a model in training mode, a wrong number of `outputs`, or
            `calibration` or `outputs` for another format than ONNX.
        ImportError: if the format needs a package or compiler that is missing; the message says how to install it.

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
    if tuple(outputs) != LOGITS and format != "onnx":
        raise ValueError(f"`outputs` (={outputs!r}) names those of format='onnx' alone, not {format!r}: leave it out")
    if format == "onnx":  # onnxruntime has no convolution in float64
        model = copy.deepcopy(model).float()
    if image_shape is None and card is not None:
        image_shape = card.image_shape
    plain, program = plain_program(model, image_shape, dynamic_size=dynamic_size)
    text = "" if card is None else json.dumps(asdict(card))
    metadata = {METADATA_KEY: text, LICENSE_KEY: license, DIGEST_KEY: weights_digest(text, plain.state_dict())}
    if format == "onnx":
        _write_onnx(program, path, metadata, outputs, calibration)
    else:
        _WRITERS[format](program, path, metadata)
    return path


def _write_onnx(
    program: torch.export.ExportedProgram,
    path: Path,
    metadata: dict[str, str],
    outputs: Sequence[str],
    calibration: Tensor | None,
) -> None:
    from attentive_gconv.export.onnx_file import graph_of, write_onnx

    graph = graph_of(program, outputs)
    if calibration is None:
        write_onnx(path, graph, metadata)
    else:
        from attentive_gconv.export.int8 import write_int8

        write_int8(graph, path, metadata, calibration)


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
    "pt2": _write_pt2,
    "aoti": _write_aoti,
}
