"""The authors' checkpoints: their numbers with our networks, and refusal of every file that does not fit."""

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.models import register, registry
from helpers import relative_error

RELEASED = ["z2cnn", "p4cnn", "alpha_f_p4cnn", "alpha_p4cnn"]


def arrays(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def assert_same_numbers(actual: Tensor, expected: Tensor, tolerance: float, name: str, record_property) -> None:
    """Absolute agreement; the largest deviation is kept as a property of the test, see benchmarks/exactness.py."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)
    record_property(name, float((actual - expected).detach().abs().max()))


@pytest.mark.parametrize("name", RELEASED)
def test_released_networks_give_the_authors_numbers(reference_dir, record_property, name):
    expected = arrays(reference_dir / f"{name}.npz")
    model = ag.load_reference_checkpoint(reference_dir / f"{name}.pth", name)
    assert not model.training
    seen: dict[str, Tensor] = {}
    for layer in ("c1", "c2", "c7"):
        model.get_submodule(layer).register_forward_hook(lambda _, __, out, layer=layer: seen.update({layer: out}))
    with torch.no_grad():
        logits = model(expected["images"])
    assert_same_numbers(logits, expected["logits"], 1e-4, "logits", record_property)
    assert torch.equal(logits.argmax(1), expected["logits"].argmax(1))
    for layer, out in seen.items():
        wanted = expected[layer]
        wanted = wanted.unsqueeze(2) if wanted.dim() == 4 else wanted  # planar: here a trivial group axis
        assert_same_numbers(out[:2], wanted, 1e-4, layer, record_property)
    assert set(seen) == {"c1", "c2", "c7"}


@pytest.mark.parametrize("name", RELEASED[1:])
def test_released_networks_are_equivariant(reference_dir, name):
    model = ag.load_reference_checkpoint(reference_dir / f"{name}.pth", name).double()
    images = arrays(reference_dir / f"{name}.npz")["images"][:2].double()
    ag.testing.assert_equivariant(model, "p4", images)


def test_p4m_layers_give_the_authors_numbers(reference_dir, record_property):
    given = arrays(reference_dir / "p4m_layers.npz")
    lift = ag.nn.LiftingConv2d("p4m", 3, 4, 3, padding=1)
    conv = ag.nn.GroupConv2d("p4m", 4, 5, 3, padding=1)
    channel = ag.nn.ChannelAttention("p4m", 4, ratio=2)
    spatial = ag.nn.SpatialAttention("p4m")
    planar = ag.nn.PlanarSpatialAttention("p4m", dilation=2)
    with torch.no_grad():
        for parameter, name in [
            (lift.weight, "lift_weight"),
            (conv.weight, "group_weight"),
            (channel.weight_fc1, "channel_fc1"),
            (channel.weight_fc2, "channel_fc2"),
            (spatial.weight, "spatial_weight"),
            (planar.weight, "lifting_spatial_weight"),
        ]:
            assert parameter.shape == given[name].shape, name
            parameter.copy_(given[name])
    lifted = lift(given["x"])
    for out, name in [
        (lifted, "lifted"),
        (conv(lifted), "convolved"),
        (channel(lifted), "channel_attention"),
        (spatial(lifted), "spatial_attention"),
        (planar(given["x"]), "lifting_spatial_attention"),
    ]:
        assert_same_numbers(out, given[name], 1e-5, name, record_property)


def authors_state(model: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """A model's weights with the authors' key names and shapes."""
    state = {}
    for key, value in model.state_dict().items():
        planar = value.dim() == 5 and value.shape[2] == 1
        state[prefix + key.replace(".attention.", ".")] = value.squeeze(2) if planar else value.clone()
    return state


@pytest.fixture
def state() -> dict[str, Tensor]:
    return authors_state(ag.create_model("alpha_f_p4cnn"))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["z2cnn", "p4cnn", "alpha_p4cnn", "alpha_f_p4cnn", "alpha_rx_p4cnn"])
def test_every_key_is_loaded(tmp_path, name, prefix, zipped):
    source = ag.create_model(name)
    path = tmp_path / "weights.pth"
    torch.save(authors_state(source, prefix), path, _use_new_zipfile_serialization=zipped)
    model = ag.load_reference_checkpoint(str(path), name)
    assert type(model) is type(source)
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_a_model_of_ones_own_is_filled_in_place(tmp_path, state):
    torch.save(state, tmp_path / "weights.pth")
    model = ag.create_model("alpha_f_p4cnn").double()
    assert ag.load_reference_checkpoint(tmp_path / "weights.pth", model) is model
    assert model.c1.weight.dtype == torch.float64
    assert relative_error(model.c1.weight, state["c1.weight"].double()) == 0


def edited(state: dict[str, Tensor], edit: str) -> dict[str, Tensor]:
    if edit == "missing":
        del state["c3.weight"], state["bn2.running_var"]
    elif edit == "left over":
        state |= {"c9.weight": torch.zeros(1), "c2.bias": torch.zeros(10)}
    elif edit == "shape":
        state["c3.channel_attention.weight_fc1"] = torch.zeros(4, 10, 4)
    elif edit == "scalar":
        state["c3.weight"] = torch.zeros(())
    elif edit == "everything":
        state["c4.weight"] = torch.zeros(2)
        state["extra"] = state.pop("c5.weight")
    return state


@pytest.mark.parametrize(
    ("edit", "messages"),
    [
        ("missing", [r"missing: bn2\.running_var, c3\.weight"]),
        ("left over", [r"left over: c2\.bias, c9\.weight"]),
        ("shape", [r"c3\.channel_attention\.weight_fc1 has shape \(4, 10, 4\), the model needs \(5, 10, 4\)"]),
        ("scalar", [r"c3\.weight has shape \(\), the model needs \(10, 10, 4, 3, 3\)"]),
        ("everything", [r"missing: c5\.weight", "left over: extra", r"c4\.weight has shape \(2,\)"]),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused_and_the_model_is_left_alone(tmp_path, state, edit, messages):
    path = tmp_path / "weights.pth"
    torch.save(edited(state, edit), path)
    model = ag.create_model("alpha_f_p4cnn")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for message in ["does not fit the model RotMNISTNet", *messages]:
        with pytest.raises(ValueError, match=message) as error:
            ag.load_reference_checkpoint(path, model)
        assert str(path) in str(error.value)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["alpha_p4cnn", "alpha_f_p4cnn", "p4cnn"])
def test_checkpoints_of_another_network_are_refused(reference_dir, name):
    """Also where one holds all that the other needs: attention that is left over is no detail."""
    for other in {"alpha_p4cnn", "alpha_f_p4cnn", "p4cnn", "z2cnn"} - {name}:
        with pytest.raises(ValueError, match=f"does not fit the model {name}: "):
            ag.load_reference_checkpoint(reference_dir / f"{other}.pth", name)


def test_a_network_of_ones_own_does_not_hide_what_does_not_fit(tmp_path, monkeypatch, state):
    """The hint at another network tries those of the package alone: another may need arguments to be built."""
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    register("needy", lambda num_classes, in_channels, needed: None, image_shape=(1, 28, 28), num_classes=10)
    torch.save(edited(state, "missing"), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="does not fit the model alpha_f_p4cnn: missing"):
        ag.load_reference_checkpoint(tmp_path / "weights.pth", "alpha_f_p4cnn")


class Evil:
    """What a pickle may hold: a call at load time."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("was-here"),)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_with_code_are_refused_and_not_run(tmp_path, monkeypatch, state, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({**state, "code": Evil()}, "weights.pth", _use_new_zipfile_serialization=zipped)
    Path("plain.pth").write_bytes(pickle.dumps(Evil()))
    for name in ("weights.pth", "plain.pth"):
        with pytest.raises(ValueError, match="cannot be read as a checkpoint of tensors"):
            ag.load_reference_checkpoint(name, "alpha_f_p4cnn")
    assert not Path("was-here").exists()


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(1)], torch.zeros(3), {"state_dict": {"c1.weight": torch.zeros(1)}, "epoch": 3}, {"epoch": 3}, 7],
    ids=lambda content: type(content).__name__,
)
def test_files_without_a_state_dict_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"holds no state dict of tensors; give one of the authors' \.pth"):
        ag.load_reference_checkpoint(tmp_path / "weights.pth", "p4cnn")


def refusal(path: Path, model: nn.Module) -> str:
    """What is said of the file; nothing if it is loaded. Anything but a ValueError is a failure."""
    try:
        ag.load_reference_checkpoint(path, model)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_refused(tmp_path, state, zipped):
    path = tmp_path / "weights.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    whole, model = path.read_bytes(), ag.create_model("alpha_f_p4cnn")
    for length in (0, 1, 10, 100, 1000, 3000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert f"{path} cannot be read as a checkpoint of tensors" in refusal(path, model)
    refusals = []
    generator = torch.Generator().manual_seed(0)
    for start in torch.randint(4000, (30,), generator=generator).tolist():
        noise = bytes(torch.randint(256, (8,), generator=generator).tolist())
        path.write_bytes(whole[:start] + noise + whole[start + len(noise) :])
        refusals.append(refusal(path, model))
    assert all(str(path) in message for message in refusals if message)
    assert any(refusals)  # not all of them: noise within the numbers of a tensor cannot be seen


def test_other_causes_of_damage_are_named(tmp_path, monkeypatch):
    """torch raises struct.error and AssertionError on some damaged bytes; they are not passed on bare."""
    (tmp_path / "weights.pth").write_bytes(b"bytes")

    def broken(*args: object, **options: object) -> None:
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(torch, "load", broken)
    with pytest.raises(ValueError, match=r"weights\.pth cannot be read .* \(error\); it may be truncated"):
        ag.load_reference_checkpoint(tmp_path / "weights.pth", "p4cnn")


def test_mixed_prefixes_are_refused(tmp_path, state):
    torch.save({**state, "module.c1.weight": state["c1.weight"]}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"both with and without the prefix 'module\.'"):
        ag.load_reference_checkpoint(tmp_path / "weights.pth", "alpha_f_p4cnn")


def test_missing_files_and_bad_models_are_refused(tmp_path, state):
    path = tmp_path / "weights.pth"
    for absent in (path, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*; give the path") as error:
            ag.load_reference_checkpoint(absent, "p4cnn")
        assert str(absent) in str(error.value)
    torch.save(state, path)
    with pytest.raises(ValueError, match="unknown model 'p4cn': did you mean 'p4cnn'"):
        ag.load_reference_checkpoint(path, "p4cn")
    with pytest.raises(TypeError, match=r"`model` \(=None\) must be a model's name or a module"):
        ag.load_reference_checkpoint(path, None)


def test_no_flipped_bit_of_a_released_file_is_accepted(reference_dir, tmp_path):
    """The format of these files has no checksum of its own: 54 of 124 flips passed."""
    whole = (reference_dir / "p4cnn.pth").read_bytes()
    model = ag.create_model("p4cnn")
    for bit in torch.randint(8 * len(whole), (150,), generator=torch.Generator().manual_seed(0)).tolist():
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / "copy.pth").write_bytes(changed)
        assert "is a damaged copy of a file that the authors released" in refusal(tmp_path / "copy.pth", model)


def test_a_zip_archive_is_read_with_its_checksums(tmp_path, state):
    path, model = tmp_path / "weights.pth", ag.create_model("alpha_f_p4cnn")
    torch.save(state, path)
    whole = path.read_bytes()
    loaded = ag.load_reference_checkpoint(path, model).state_dict()
    before = {name: value.clone() for name, value in loaded.items()}
    assert torch.equal(before["c7.weight"], state["c7.weight"])
    for bit in torch.randint(8 * len(whole), (150,), generator=torch.Generator().manual_seed(0)).tolist():
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        refusal(path, model)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.to_sparse(), "is a sparse_coo tensor, not a dense one"),
        (lambda value: value.to("meta"), "is a tensor on the meta device"),
        (lambda value: value.to(torch.float8_e4m3fn), "is of float8_e4m3fn"),
        (lambda value: value.to(torch.complex64), "is of complex64"),
        (lambda value: value * float("nan"), "holds values that are not finite"),
    ],
)
def test_tensors_that_are_no_weights_are_refused(tmp_path, state, change, message):
    torch.save({**state, "c1.weight": change(state["c1.weight"])}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=rf"cannot be used: c1\.weight {message}"):
        ag.load_reference_checkpoint(tmp_path / "weights.pth", "alpha_f_p4cnn")
