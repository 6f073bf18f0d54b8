"""Post-training static quantization to int8, by onnxruntime.

    q = clamp(round(v / s) + z, -128, 127);   for weights z = 0, with a scale s for each output channel and pose

All poses of a kernel have the same entries, hence the same scale. Convolutions, ReLU and maxima are then integer
arithmetic, in which sums do not depend on the order: a network of these alone gives *bit-identical* logits in all
poses. Means and the sigmoids of attention stay in float32, and so do loops, which full attention of wide layers has.

Weights use 7 bits (``reduce_range``), so that sums of pairs fit into 16 bits on processors without VNNI.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, https://arxiv.org/abs/1712.05877; the tool is `onnxruntime.quantization`.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor

from attentive_gconv.export.onnx_file import write_onnx

BATCH = 32


class _Images(CalibrationDataReader):
    """The calibration images, in batches."""

    def __init__(self, name: str, images: Tensor) -> None:
        self.batches: Iterator[Tensor] = iter(images.float().split(BATCH))
        self.name = name

    def get_next(self) -> dict[str, Any] | None:
        """The next batch; None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch.detach().cpu().numpy()}


def write_int8(graph: onnx.ModelProto, path: Path, metadata: Mapping[str, str], calibration: Tensor) -> None:
    """Quantize a graph and write it as an ONNX file.

    Args:
        graph, path, metadata: as in `attentive_gconv.export.onnx_file.write_onnx`.
        calibration: standardised images ``(N, C, Y, X)``, which determine the ranges of the activations.

    Raises:
        ValueError: if there are no calibration images.
    """
    if calibration.dim() != 4 or not len(calibration):
        raise ValueError(f"`calibration` (of shape {tuple(calibration.shape)}) must be images (N, C, Y, X), N > 0")
    # marks the graph as pre-processed: its constants are folded already, and onnxruntime would warn
    graph.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "int8.onnx"
        quantize_static(
            graph,
            target,
            _Images(graph.graph.input[0].name, calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "MaxPool", "Relu"],
        )
        write_onnx(path, onnx.load(target), metadata)
