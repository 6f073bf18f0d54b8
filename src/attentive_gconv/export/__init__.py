"""Export: networks as plain PyTorch modules, and as files that run without this library.

conv2d_network  `to_conv2d`: a network as `nn.Conv2d`, `nn.Linear` and functions of `torch`
formats         `export`: ONNX, `torch.export` and AOTInductor files with the model card in their metadata
onnx_file       `open_onnx`: open an exported ONNX file as a network
int8            quantized ONNX files

Names are imported at first use. `to_conv2d` needs torch alone; files need the extra ``train``, ONNX files the extra
``onnx``.
"""

from typing import TYPE_CHECKING

from attentive_gconv.lazy_names import lazy_names

if TYPE_CHECKING:
    from attentive_gconv.export.conv2d_network import to_conv2d
    from attentive_gconv.export.formats import export
    from attentive_gconv.export.onnx_file import open_onnx

__all__ = ["export", "open_onnx", "to_conv2d"]

_LATER = {"export": "formats", "open_onnx": "onnx_file", "to_conv2d": "conv2d_network"}

__getattr__ = lazy_names(__name__, _LATER)
