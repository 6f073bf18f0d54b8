"""The library on a GPU: values and gradients beside the CPU's, exactness, training, files. Skipped without a GPU."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.bench.cases import Case, build
from attentive_gconv.bench.memory import peak_memory
from attentive_gconv.checkpoints import ModelCard, load_weights
from attentive_gconv.checkpoints.weights import weights_digest
from attentive_gconv.data import load_dataset
from attentive_gconv.export import export, open_onnx
from attentive_gconv.inference import evaluate
from attentive_gconv.models import list_models
from attentive_gconv.nn import Dropout
from attentive_gconv.training import resume, train
from attentive_gconv.visualize import collect_attention
from helpers import GROUPS, KINDS, group_id, kind_id, maps, relative_error
from helpers import build as layer_of
from networks import randomise_norms_
from tiny import PowerCut, tiny, tiny_config

__all__ = ["tiny"]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

# the layers of a network, one after the other, add up what each rounds differently
LIMIT = 1e-9
TRAINED = ["z2cnn", "p4cnn", "alpha_f_p4cnn", "alpha_p4cnn", "c8cnn"]
TURNING = [group for group in GROUPS if group.order > 1]


def network(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A network in float64 on the CPU, in a random state, and images; no dropout."""
    model, x = build(Case(name, batch=2, dtype="float64"))
    for part in model.modules():
        if isinstance(part, Dropout):
            part.p = 0.0
    return randomise_norms_(model, x), x


def step(model: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits in eval mode, and the gradients of all parameters in training mode."""
    with torch.no_grad():
        found = {"logits": model.eval()(x)}
    model.train().zero_grad()
    model(x).square().sum().backward()
    found |= {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: value.clone() for name, value in found.items()}


@pytest.mark.parametrize("name", list_models())
def test_values_and_gradients_of_every_network(name):
    model, x = network(name)
    found = step(copy.deepcopy(model).cuda(), x.cuda())
    expected = step(model, x)
    assert found.keys() == expected.keys()
    assert relative_error(found.pop("logits").cpu(), expected.pop("logits")) < LIMIT
    largest = {key: float(value.abs().max()) for key, value in expected.items()}
    # of a parameter's own gradients, unless they are small beside the others
    scale = {key: max(value, 0.01 * max(largest.values())) for key, value in largest.items()}
    errors = {key: float((value.cpu() - expected[key]).abs().max()) / scale[key] for key, value in found.items()}
    assert {key: error for key, error in errors.items() if not error < LIMIT} == {}


@pytest.mark.parametrize("group", TURNING, ids=group_id)
@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
def test_layers_are_equivariant(kind, group):
    layer = layer_of(kind, group, 2, 3, kernel_size=3, padding=1).cuda()
    errors = ag.check_equivariance(layer, group, maps(group, 2, 7, 7, lifting=kind.lifting).cuda())
    assert errors.exact.max() < 1e-10


@pytest.mark.parametrize("name", TRAINED[1:])
def test_networks_are_invariant(name):
    model, x = network(name)
    model.cuda()
    errors = ag.check_equivariance(model, model.group, x.cuda())
    assert errors.exact.max() < 1e-10


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("name", TRAINED)
def test_training_repeats_bit_for_bit(tiny, tmp_path, name, precision):
    """All operations of a step have a deterministic form on the GPU: the recipes ask for it."""
    config = tiny_config(model__name=name, epochs=2, accelerator="gpu", precision=precision)
    for folder in ("a", "b"):
        train(config, tmp_path / folder)
    first, second = (_weights(tmp_path / folder) for folder in ("a", "b"))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert all(value.isfinite().all() for value in first.values())


@pytest.mark.parametrize("name", ["p4_allcnnc", "alpha_f_p4m_resnet44", "alpha_f_p4_densenet", "alpha_f_p4m_vgg6"])
def test_a_step_of_every_family_uses_deterministic_operations_alone(name):
    model, x = build(Case(name, batch=2, device="cuda"))
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = step(copy.deepcopy(model), x), step(model, x)
    finally:
        torch.use_deterministic_algorithms(before)
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_a_resumed_run_equals_an_unbroken_one(tiny, tmp_path, precision):
    config = tiny_config(epochs=4, accelerator="gpu", precision=precision, ema_decay=0.7, protocol="validation")
    train(config, tmp_path / "whole")
    tiny.fail_after(2 * 24 + 10)  # in the third epoch of 24 images
    with pytest.raises(PowerCut):
        train(config, tmp_path / "broken")
    tiny.fail_after(None)
    resume(tmp_path / "broken")
    whole, broken = (_weights(tmp_path / folder) for folder in ("whole", "broken"))
    assert all(torch.equal(value, broken[key]) for key, value in whole.items())


def test_weights_trained_on_a_gpu_evaluate_alike_on_both(tiny, tmp_path):
    train(tiny_config(epochs=2, accelerator="gpu"), tmp_path / "run")
    opened = load_weights(tmp_path / "run" / "checkpoints" / "last.safetensors")
    x = torch.randn(5, 1, 28, 28)
    assert next(opened.module.parameters()).device.type == "cpu"
    with torch.no_grad():
        here = opened.module.eval()(x)
        there = opened.module.cuda()(x.cuda()).cpu()
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return load_weights(run / "checkpoints" / "last.safetensors").module.state_dict()


def test_evaluation(tiny):
    model = ag.create_model("p4cnn", channels=2, num_classes=3)
    data = load_dataset("tiny")
    options = {"classes": data.classes, "dtype": torch.float64, "mirrorings": True}
    here, there = (evaluate(model, data.test, device=device, **options) for device in ("cpu", "cuda"))
    assert (there.error, there.changed_by_rotation) == (here.error, here.changed_by_rotation)


@pytest.mark.parametrize("name", ["alpha_f_p4cnn", "alpha_p4cnn"])
def test_collected_maps_are_those_of_the_cpu(name):
    model, x = network(name)
    found = []
    for device in ("cpu", "cuda"):
        with collect_attention(model.to(device).eval()) as collected, torch.no_grad():
            model(x.to(device))
        found.append({key: value.cpu() for key, value in collected.items()})
    assert found[0]
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["p4cnn", "alpha_f_p4cnn", "alpha_p4cnn"])
def test_compiled_networks(name):
    model, x = network(name)
    found = step(torch.compile(copy.deepcopy(model).cuda()), x.cuda())
    expected = step(model.cuda(), x.cuda())
    found = {key.removeprefix("_orig_mod."): value for key, value in found.items()}
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["p4cnn", "alpha_f_p4cnn", "alpha_p4cnn"])
@pytest.mark.parametrize("form", ["onnx", "int8", "pt2"])
def test_a_network_on_the_gpu_is_exported(tiny, tmp_path, name, form):
    card = ModelCard.of(load_dataset("tiny"), seed=0, model=name, options={"channels": 4})
    x = torch.randn(16, 1, 28, 28).cuda()
    model = randomise_norms_(card.build().cuda(), x)
    with torch.no_grad():
        expected = model(x)
    if form == "pt2":
        found = torch.export.load(export(model, tmp_path / "net.pt2", "pt2", card=card)).module()(x)
    else:
        calibration = x if form == "int8" else None
        found = open_onnx(export(model, tmp_path / "net.onnx", card=card, calibration=calibration)).module(x.cpu())
    assert relative_error(found.detach().cpu(), expected.cpu()) < (0.2 if form == "int8" else 1e-3)


def test_the_digest_of_weights_does_not_depend_on_the_device():
    state = ag.create_model("p4cnn").state_dict()
    assert weights_digest("card", {key: value.cuda() for key, value in state.items()}) == weights_digest("card", state)


def test_the_table_of_a_restriction_moves_with_its_module():
    layer, x = ag.nn.GroupRestriction("p4m", "p4"), torch.randn(2, 3, 8, 5, 5)
    expected = layer(x)
    assert torch.equal(layer.cuda()(x.cuda()).cpu(), expected)
    assert layer.pose_index.device.type == "cuda"


def test_peak_memory_is_what_was_allocated():
    def allocate() -> None:
        torch.empty(32 << 20, dtype=torch.uint8, device="cuda")

    assert 32 << 20 <= peak_memory(allocate, torch.device("cuda")).bytes < 34 << 20
