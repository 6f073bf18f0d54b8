"""Write ONNX files of networks, and open untrusted ones.

The metadata's ``sha256`` covers the card and the graph; damaged or changed files are refused.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.checkpoints.weights import DIGEST_KEY, METADATA_KEY, TrainedModel, WeightsError
from attentive_gconv.files import write_atomically

try:
    import onnx
    import onnxruntime
    from google.protobuf.message import DecodeError
except ImportError as error:
    raise ImportError("ONNX files need onnx and onnxruntime: pip install 'attentive-gconv[onnx]'") from error

# largest message of protobuf
MOST_BYTES = 2**31 - 1


class OnnxNetwork(nn.Module):
    """A network in an ONNX file, run by onnxruntime on the CPU: images ``(B, C, Y, X)`` to logits, in float32.

    Args:
        content: content of the file.
        threads: number of onnxruntime's threads; by default that of PyTorch.
    """

    def __init__(self, content: bytes, threads: int | None = None) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3  # errors only; its warnings are about its graph optimizer
        self.session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        self.input, self.output = self.session.get_inputs()[0].name, self.session.get_outputs()[0].name

    def forward(self, images: Tensor) -> Tensor:
        """Logits, the file's first output."""
        (logits,) = self.session.run([self.output], {self.input: images.detach().cpu().float().numpy()})
        return torch.from_numpy(logits)


def graph_of(program: torch.export.ExportedProgram, outputs: Sequence[str]) -> onnx.ModelProto:
    """Convert a program to an ONNX graph with the input ``images`` and outputs of these names.

    Raises:
        ValueError: if the program has another number of outputs.
        ImportError: without onnxscript.
    """
    if len(outputs) != (found := len(program.graph_signature.user_outputs)):
        raise ValueError(f"`outputs` (={tuple(outputs)}) must name the {found} outputs of the model")
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("`format` (='onnx') needs onnxscript: pip install 'attentive-gconv[onnx]'") from error
    exported = torch.onnx.export(program, dynamo=True, verbose=False, output_names=list(outputs))
    assert exported is not None
    graph: onnx.ModelProto = exported.model_proto
    # remove the exporter's Python names, and paths of this machine
    for each in (graph.graph, *_bodies(graph.graph)):
        for part in (each, *each.node, *each.value_info, *each.input, *each.output, *each.initializer):
            del part.metadata_props[:]
        for node in each.node:
            node.doc_string = ""
    return graph


def write_onnx(path: Path, graph: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Write a graph with its metadata, and set ``sha256`` to that of the card and the graph."""
    del graph.metadata_props[:]
    found = {**metadata, DIGEST_KEY: _digest(metadata[METADATA_KEY], graph)}
    for key, value in found.items():
        graph.metadata_props.add(key=key, value=value)
    write_atomically(path, graph.SerializeToString(deterministic=True))


def open_onnx(path: str | Path) -> TrainedModel:
    """Open an ``.onnx`` file that `export` wrote with a model card.

    No other files are read, and all operators are those of ONNX and onnxruntime.

    Raises:
        FileNotFoundError: if there is no such file.
        WeightsError: if the file is damaged or too large, has no model card, or does not fit it.

    Example:
        >>> import tempfile, torch, attentive_gconv as ag
        >>> from attentive_gconv.checkpoints import open_model
        >>> trained = open_model("p4cnn").trained
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = ag.export.export(trained.module, f"{folder}/p4cnn.onnx", card=trained.card)
        ...     network = ag.export.open_onnx(path)
        >>> network.card.dataset, network.module(torch.zeros(3, 1, 28, 28)).shape
        ('rot-mnist', torch.Size([3, 10]))
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size > MOST_BYTES:
        raise WeightsError(f"{path} is larger than an ONNX file without external data can be ({MOST_BYTES:,} bytes)")
    content = path.read_bytes()
    try:
        graph = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise WeightsError(f"{path} is no ONNX file, or damaged ({error}); copy or export it again") from error
    card = _card_of(path, graph)
    _check_interface(path, graph, card)
    try:
        network = OnnxNetwork(content)
    except Exception as error:  # onnxruntime's errors have no common class
        raise WeightsError(f"{path} cannot be run by onnxruntime: {str(error).splitlines()[0]}") from error
    return TrainedModel(network.eval(), card)


def _card_of(path: Path, graph: onnx.ModelProto) -> ModelCard:
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    if not metadata.get(METADATA_KEY):
        raise WeightsError(
            f"{path} has no model card, which says its classes, mean and std: write it with `agconv export`, or "
            "with the card of `attentive_gconv.export.export`"
        )
    try:
        card = ModelCard.from_json(metadata[METADATA_KEY])
    except ValueError as error:
        raise WeightsError(f"{path} describes no network of this version: {error}") from error
    del graph.metadata_props[:]
    if metadata.get(DIGEST_KEY) != _digest(metadata[METADATA_KEY], graph):
        raise WeightsError(f"{path} is damaged: its content has another sha256 than it says; copy or export it again")
    return card


def _check_interface(path: Path, graph: onnx.ModelProto, card: ModelCard) -> None:
    """Check that input and logits fit the card, and that no tensor is stored in another file."""
    if graph.functions or graph.training_info:
        raise WeightsError(f"{path} holds functions or graphs for training, as no file of ours does: export it again")
    graphs = [graph.graph, *_bodies(graph.graph)]
    given = [(node.op_type, attribute) for each in graphs for node in each.node for attribute in node.attribute]
    if any((a.HasField("g") or a.graphs) and operator != "Scan" for operator, a in given):
        raise WeightsError(f"{path} holds branches, or loops that may not end, as no file of ours: export it again")
    sparse = [each.sparse_initializer for each in graphs] + [[*a.sparse_tensors] for _, a in given]
    if any(sparse) or any(a.HasField("sparse_tensor") for _, a in given):
        raise WeightsError(f"{path} holds sparse tensors, as no file of ours does: export it again")
    tensors = [tensor for each in graphs for tensor in each.initializer]
    tensors += [tensor for _, a in given for tensor in (a.t, *a.tensors)]
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise WeightsError(f"{path} takes weights from other files, which is refused: export it again, as one file")
    shapes = [[_shape(value) for value in values] for values in (graph.graph.input, graph.graph.output[:1])]
    channels, *sides = card.image_shape
    wanted = [[0, channels, *sides]], [[0, len(card.classes)]]
    for found, expected in zip(shapes, wanted, strict=True):
        fits = len(found) == len(expected) and all(
            len(a) == len(b) and all(x in (0, y) for x, y in zip(a, b, strict=True))
            for a, b in zip(found, expected, strict=True)
        )
        if not fits:
            raise WeightsError(
                f"{path} has inputs and outputs {shapes}, and its model card says images {card.image_shape} and "
                f"{len(card.classes)} classes: export it again"
            )


def _bodies(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The bodies of loops and branches in a graph, and those in them; protobuf limits the depth to 100."""
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        for body in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield body
            yield from _bodies(body)


def _shape(value: Any) -> list[int]:
    """Sizes of a tensor; 0 for dynamic ones."""
    return [size.dim_value for size in value.type.tensor_type.shape.dim]


def _digest(card: str, graph: onnx.ModelProto) -> str:
    digest = hashlib.sha256(card.encode())
    digest.update(graph.SerializeToString(deterministic=True))
    return digest.hexdigest()
