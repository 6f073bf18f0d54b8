"""Export: networks as plain modules and as files that are opened without this library.

conv2d_network  `to_conv2d`: a network as `nn.Conv2d`, `nn.Linear` and functions of `torch`
formats         `export`: files of ONNX, `torch.export` and AOTInductor, with the model card inside
onnx_file       `open_onnx`: such a file as a network again
int8            quantized ONNX files

Each is imported when it is first asked for. `to_conv2d` needs torch alone; files need
``pip install 'attentive-gconv[train]'``, those of ONNX ``[onnx]``, too.
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
