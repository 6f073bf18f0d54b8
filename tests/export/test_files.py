"""Files of exported networks: the same answers, in any batch, without this library, and refusals of bad ones."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.checkpoints import TrainedModel, WeightsError
from attentive_gconv.export import export, open_onnx
from attentive_gconv.export.onnx_file import OnnxNetwork, write_onnx
from attentive_gconv.functional.fast.full_attention import chunked_form
from attentive_gconv.models.blocks import ATTENTION
from networks import randomise_norms_


@pytest.fixture(scope="module")
def onnx_file(trained: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(trained.module, tmp_path_factory.mktemp("onnx") / "net.onnx", card=trained.card, license="MIT")


def test_onnx_gives_the_logits_of_the_network_for_every_batch(trained, onnx_file):
    opened = open_onnx(onnx_file)
    assert opened.card == trained.card
    for batch in (1, 2, 7):
        images = torch.randn(batch, 1, 28, 28)
        with torch.no_grad():
            torch.testing.assert_close(opened.module(images), trained.module(images), rtol=1e-4, atol=1e-5)


def test_sizes_that_the_network_fixes_are_fixed_in_the_file(onnx_file, tmp_path):
    def sides(path: Path) -> list[object]:
        (images,) = onnx.load(path).graph.input
        return [size.dim_value or size.dim_param for size in images.type.tensor_type.shape.dim]

    assert sides(onnx_file)[1:] == [1, 28, 28]
    assert isinstance(sides(onnx_file)[0], str)
    model = ag.create_model("p4_allcnnc", channels=2).eval()
    free = export(model, tmp_path / "free.onnx")
    fixed = export(model, tmp_path / "fixed.onnx", dynamic_size=False)
    assert [type(side) for side in sides(free)] == [str, int, str, str]
    assert sides(fixed)[1:] == [3, 32, 32]


def test_metadata_hold_the_card_and_the_licence_and_nothing_of_this_machine(trained, onnx_file):
    graph = onnx.load(onnx_file)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert json.loads(metadata["attentive_gconv"]) == json.loads(json.dumps(asdict(trained.card)))
    assert metadata["license"] == "MIT"
    assert len(metadata["sha256"]) == 64
    assert str(Path(ag.__file__).parent).encode() not in onnx_file.read_bytes()
    assert b"site-packages" not in onnx_file.read_bytes()


def test_pt2_opens_in_a_process_without_this_library(trained, tmp_path):
    path = export(trained.module, tmp_path / "net.pt2", "pt2", card=trained.card)
    images = torch.randn(3, 1, 28, 28)
    torch.save(images, tmp_path / "images.pt")
    code = (
        "import sys, torch; sys.modules['attentive_gconv'] = None\n"
        "extra = {'attentive_gconv': '', 'sha256': ''}\n"
        "net = torch.export.load(sys.argv[1], extra_files=extra).module()\n"
        "torch.save((net(torch.load(sys.argv[2])), extra), sys.argv[3])"
    )
    where = (path, tmp_path / "images.pt", tmp_path / "out.pt")
    subprocess.run([sys.executable, "-c", code, *map(str, where)], check=True, cwd=tmp_path)
    logits, extra = torch.load(where[2])
    torch.testing.assert_close(logits, trained.module(images), rtol=1e-4, atol=1e-5)
    assert json.loads(extra["attentive_gconv"])["model"] == "p4cnn"
    assert len(extra["sha256"]) == 64


def test_onnx_opens_in_a_process_without_this_library_and_without_torch(trained, onnx_file, tmp_path):
    code = (
        "import sys; sys.modules['attentive_gconv'] = sys.modules['torch'] = None\n"
        "import numpy, onnxruntime\n"
        "net = onnxruntime.InferenceSession(sys.argv[1])\n"
        "numpy.save(sys.argv[2], net.run(None, {'images': numpy.ones((2, 1, 28, 28), 'float32')})[0])"
    )
    subprocess.run([sys.executable, "-c", code, str(onnx_file), str(tmp_path / "out.npy")], check=True, cwd=tmp_path)
    logits = torch.from_numpy(np.load(tmp_path / "out.npy"))
    torch.testing.assert_close(logits, trained.module(torch.ones(2, 1, 28, 28)).detach(), rtol=1e-4, atol=1e-5)


class WithMaps(nn.Module):
    """Logits, and the maps of one layer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        explanation = ag.explain(self.network, images)
        return explanation.output, explanation.layers["c2"]


def test_further_outputs_are_named_and_the_file_still_opens(trained, tmp_path):
    path = export(WithMaps(trained.module).eval(), tmp_path / "maps.onnx", card=trained.card, outputs=("logits", "c2"))
    images = torch.randn(3, 1, 28, 28)
    logits, maps = onnxruntime.InferenceSession(path).run(["logits", "c2"], {"images": images.numpy()})
    explanation = ag.explain(trained.module, images)
    torch.testing.assert_close(torch.from_numpy(logits), explanation.output, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(maps), explanation.layers["c2"], rtol=1e-4, atol=1e-5)
    assert torch.equal(open_onnx(path).module(images), torch.from_numpy(logits))
    with pytest.raises(ValueError, match=r"`outputs` \(=\('logits',\)\) must name the 2 outputs"):
        export(WithMaps(trained.module).eval(), tmp_path / "none.onnx", card=trained.card)


def test_a_network_in_float64_is_written_in_float32(tmp_path):
    model = ag.create_model("p4cnn", channels=2).double().eval()
    images = torch.randn(3, 1, 28, 28, dtype=torch.float64)
    network = OnnxNetwork(export(model, tmp_path / "net.onnx").read_bytes())
    torch.testing.assert_close(network(images).double(), model(images).detach(), rtol=1e-4, atol=1e-5)
    assert next(model.parameters()).dtype == torch.float64


@pytest.mark.slow
def test_aoti(trained, tmp_path):
    path = export(trained.module, tmp_path / "net.pt2", "aoti", card=trained.card)
    network = torch._inductor.aoti_load_package(str(path))
    for batch in (1, 5):
        images = torch.randn(batch, 1, 28, 28)
        torch.testing.assert_close(network(images), trained.module(images).detach(), rtol=1e-4, atol=1e-5)
    assert json.loads(network.get_metadata()["attentive_gconv"])["model"] == "p4cnn"


# one network of each attention, one of a deeper family, and one with loops
CASES = [(name, {}) for name in ag.list_models("alpha_*p4cnn")] + [("p4m_allcnnc", {}), ("alpha_sp_p4_allcnnc", {})]
CASES += [("p4cnn", {"attention": kind}) for kind in ATTENTION]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), CASES, ids=lambda value: value if isinstance(value, str) else str(value))
def test_networks_and_every_kind_of_attention_become_onnx(name, options, tmp_path):
    model = ag.create_model(name, **options)
    images = torch.randn(2, *ag.models.model_entry(name).image_shape)
    model = randomise_norms_(model, images)
    content = export(model, tmp_path / "net.onnx").read_bytes()
    network = OnnxNetwork(content)
    with torch.no_grad():
        for batch in (images, images[:1]):
            expected = model(batch)
            torch.testing.assert_close(network(batch), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_int8_on_calibration_images(trained, tmp_path, caplog):
    images = torch.randn(24, 1, 28, 28)
    path = export(trained.module, tmp_path / "net.onnx", card=trained.card, calibration=images)
    assert not [record.message for record in caplog.records if "pre-processing" in record.message]
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
    network = open_onnx(path).module
    expected = trained.module(images).detach()
    found = network(images)
    assert not torch.equal(found, expected)
    assert (found - expected).abs().mean() < 0.1 * expected.std()
    # integer sums do not depend on the order: the logits of all poses are the same, bit for bit
    for turns in (1, 2, 3):
        assert torch.equal(network(images.rot90(turns, (-2, -1))), found)


def edited(path: Path, target: Path, **metadata: str | None) -> Path:
    """The file with other metadata; None removes an entry."""
    graph = onnx.load(path)
    kept = {entry.key: entry.value for entry in graph.metadata_props} | metadata
    del graph.metadata_props[:]
    for key, value in kept.items():
        if value is not None:
            graph.metadata_props.add(key=key, value=value)
    onnx.save(graph, target)
    return target


def test_bad_files_are_refused_with_a_remedy(trained, onnx_file, tmp_path):
    def refused(path: Path, message: str) -> None:
        with pytest.raises(WeightsError, match=message):
            open_onnx(path)

    with pytest.raises(FileNotFoundError, match="there is no file"):
        open_onnx(tmp_path / "none.onnx")
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(onnx_file.read_bytes()[:-900])
    refused(noise, "no ONNX file, or damaged.*export it again")
    refused(edited(onnx_file, tmp_path / "a.onnx", attentive_gconv=None), "no model card.*`agconv export`")
    refused(edited(onnx_file, tmp_path / "b.onnx", attentive_gconv="{}"), "its metadata must hold")
    refused(edited(onnx_file, tmp_path / "c.onnx", sha256="0" * 64), "another sha256 than it says")
    graph = onnx.load(onnx_file)
    graph.graph.initializer[0].raw_data = bytes(len(graph.graph.initializer[0].raw_data))
    onnx.save(graph, tmp_path / "d.onnx")
    refused(tmp_path / "d.onnx", "another sha256 than it says")


def test_a_card_that_does_not_fit_the_graph_and_outside_data_are_refused(trained, onnx_file, tmp_path):
    metadata = {"attentive_gconv": json.dumps(asdict(replace(trained.card, classes=("a", "b"))))}
    write_onnx(tmp_path / "a.onnx", onnx.load(onnx_file), metadata)
    with pytest.raises(WeightsError, match="2 classes: export it again"):
        open_onnx(tmp_path / "a.onnx")
    graph = onnx.load(onnx_file)
    graph.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    write_onnx(tmp_path / "b.onnx", graph, {"attentive_gconv": json.dumps(asdict(trained.card))})
    with pytest.raises(WeightsError, match="weights from other files, which is refused"):
        open_onnx(tmp_path / "b.onnx")
    graph = onnx.load(onnx_file)
    graph.graph.sparse_initializer.add().values.data_location = onnx.TensorProto.EXTERNAL
    write_onnx(tmp_path / "c.onnx", graph, {"attentive_gconv": json.dumps(asdict(trained.card))})
    with pytest.raises(WeightsError, match="holds sparse tensors"):
        open_onnx(tmp_path / "c.onnx")


@pytest.fixture
def looped(trained: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> TrainedModel:
    """A network whose full attention is exported as loops, with a card that fits."""
    monkeypatch.setattr(chunked_form, "MOST_COPIES", 4)
    model = ag.create_model("p4cnn", attention="full_channel", channels=4)
    ag.nn.configure_attention(model, memory_budget=1)
    return TrainedModel(randomise_norms_(model, torch.randn(8, 1, 28, 28)), trained.card)


def test_onnx_with_loops_opens_and_what_their_bodies_must_not_hold_is_refused(looped, tmp_path):
    images = torch.randn(5, 1, 28, 28)
    path = export(looped.module, tmp_path / "net.onnx", card=looped.card)
    network = open_onnx(path).module
    expected = looped.module(images).detach()
    for batch in (5, 1):
        torch.testing.assert_close(network(images[:batch]), expected[:batch], rtol=1e-4, atol=1e-4)
    content = path.read_bytes()
    assert b"pkg.torch" not in content
    assert b"site-packages" not in content
    refused = {
        "external": "weights from other files",
        "sparse": "holds sparse tensors",
        "endless": "loops that may not end",
        "function": "holds functions",
    }
    for kind, message in refused.items():
        graph = onnx.load(path)
        (loop, *_) = (node for node in graph.graph.node if node.op_type == "Scan")
        (body,) = (attribute.g for attribute in loop.attribute if attribute.HasField("g"))
        if kind == "endless":
            body.node.add(op_type="Loop").attribute.add(name="body").g.name = "forever"
        elif kind == "function":
            graph.functions.add(name="any")
        else:
            tensor = body.sparse_initializer.add().values if kind == "sparse" else body.initializer.add()
            tensor.data_location = onnx.TensorProto.EXTERNAL
        write_onnx(tmp_path / "bad.onnx", graph, {"attentive_gconv": json.dumps(asdict(looped.card))})
        with pytest.raises(WeightsError, match=message):
            open_onnx(tmp_path / "bad.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["aoti", "pt2", "int8"])
def test_loops_in_the_other_formats(looped, format, tmp_path):
    images = torch.randn(16, 1, 28, 28)
    expected = looped.module(images).detach()
    if format == "int8":
        path = export(looped.module, tmp_path / "net.onnx", card=looped.card, calibration=images)
        assert (open_onnx(path).module(images) - expected).abs().mean() < 0.1 * expected.std()
        kinds = {node.op_type for node in onnx.load(path).graph.node}
        assert {"QuantizeLinear", "Scan"} <= kinds
        return
    path = export(looped.module, tmp_path / "net.pt2", format, card=looped.card)
    if format == "pt2":
        assert "scan" in str(torch.export.load(path).graph)
    network = torch._inductor.aoti_load_package(str(path)) if format == "aoti" else torch.export.load(path).module()
    for batch in (16, 1):
        torch.testing.assert_close(network(images[:batch]), expected[:batch], rtol=1e-4, atol=1e-4)


def test_refusals_before_anything_is_computed(trained, tmp_path):
    with pytest.raises(ValueError, match="'pt2'"):
        export(trained.module, tmp_path / "net.pt2", "pt")
    with pytest.raises(ValueError, match=r"must end in '.onnx' for format='onnx'"):
        export(trained.module, tmp_path / "net.bin")
    with pytest.raises(ValueError, match="`calibration` quantizes format='onnx' alone"):
        export(trained.module, tmp_path / "net.pt2", "pt2", calibration=torch.zeros(1, 1, 28, 28))
    with pytest.raises(ValueError, match=r"`outputs` .* names those of format='onnx' alone, not 'pt2': leave it out"):
        export(trained.module, tmp_path / "net.pt2", "pt2", outputs=("logits", "maps"))
    with pytest.raises(ValueError, match=r"`calibration` \(of shape \(0, 1, 28, 28\)\) must be images"):
        export(trained.module, tmp_path / "net.onnx", card=trained.card, calibration=torch.zeros(0, 1, 28, 28))
    assert list(tmp_path.iterdir()) == []
