import json

import pytest
import torch

from attentive_gconv.bench.cases import LAYERS, Case, NotOffered, build, input_shape, variants
from attentive_gconv.bench.steps import prepare

TINY = {"batch": 2, "channels": 4, "side": 7, "padding": 1}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", ["lifting", "group"])
def test_every_kind_of_layer_is_built_to_size(name, kind):
    case = Case(name, kind, group="p4m", **TINY)
    module, x = build(case)
    planes = (4 * 8,) if name == "conv2d" and kind == "group" else (4, 8) if kind == "group" else (4,)
    assert tuple(x.shape) == input_shape(case) == (2, *planes, 7, 7)
    out = module.eval()(x)
    assert tuple(out.shape) == ((2, 32, 7, 7) if name == "conv2d" else (2, 4, 8, 7, 7))


def test_conv2d_of_the_expanded_size_multiplies_as_often_as_the_group_layer():
    plain, expanded = (build(Case(name, "group", group="p4", **TINY))[0] for name in ("none", "conv2d"))
    assert expanded.weight.numel() == plain.kernel().numel() == 4 * 4 * 4 * 4 * 9


def test_networks_take_other_widths_groups_and_sizes():
    module, x = build(Case("p4_allcnnc", batch=2, group="p4m", channels=4, side=16))
    assert module.group.name == "p4m"
    assert tuple(x.shape) == (2, 3, 16, 16)
    assert tuple(module.eval()(x).shape) == (2, 10)


def test_full_attention_is_computed_as_asked():
    module, _ = build(Case("alpha_p4cnn", method="definition", backend="torch", recompute=True))
    assert (module.c2.method, module.c2.backend, module.c2.recompute) == ("definition", "torch", True)


@pytest.mark.parametrize("form", ["expanded", "irreps"])
def test_convolutions_are_computed_as_asked(form):
    module, _ = build(Case("none", "group", conv=form, **TINY))
    assert module.conv == form


def test_a_form_that_bears_on_nothing_is_refused():
    with pytest.raises(ValueError, match=r"none has no group convolution that `conv` \(='irreps'\) applies to"):
        build(Case("none", "lifting", conv="irreps", **TINY))
    with pytest.raises(ValueError, match="unknown form of the convolution 'irrep': did you mean 'irreps'"):
        Case("p4cnn", conv="irrep").check()


def test_a_case_survives_json():
    case = Case("full", "group", recompute=True, group="p4m", side=9)
    assert Case(**json.loads(json.dumps(case.to_mapping()))) == case


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case("alpha_p4cn"), "did you mean 'alpha_p4cnn'"),
        (Case("ful", "group"), "unknown layer 'ful': did you mean 'full'"),
        (Case("p4cnn", batch=0), r"`batch` \(=0\) must be at least 1"),
        (Case("p4cnn", dtype="float8"), "unknown dtype 'float8'"),
        (Case("none", "grup"), "unknown kind 'grup'"),
        (Case("none", "group", group="p3"), "unknown group 'p3'"),
        (Case("alpha_p4cnn", backend="numbat"), "unknown backend 'numbat': did you mean 'numba'"),
        (Case("p4cnn", recompute=True), "p4cnn has no full attention"),
    ],
)
def test_what_is_wrong_is_named(case, message):
    with pytest.raises(ValueError, match=message):
        case.check()


def test_variants_are_all_combinations_that_differ():
    found = variants(Case("alpha_p4cnn"), ["streaming", "definition"], ["torch"], [False, True])
    assert [case.label() for case in found] == [
        "alpha_p4cnn (streaming, torch, keep)",
        "alpha_p4cnn (streaming, torch, recompute)",
        "alpha_p4cnn (definition)",
    ]
    assert variants(Case("p4cnn"), ["definition"], [], []) == [Case("p4cnn")]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("what", ["train", "inference"])
def test_a_step_runs_in_every_dtype(dtype, what):
    prepare(Case("alpha_f_p4cnn", batch=2, dtype=dtype), what)()
    prepare(Case("none", "lifting", dtype=dtype, **TINY), what)()


def test_a_training_step_changes_no_learned_weight_and_reaches_all(monkeypatch):
    from attentive_gconv.bench import steps

    made = []
    monkeypatch.setattr(steps, "build", lambda case: made.append(build(case)) or made[-1])
    step = prepare(Case("p4cnn", batch=2), "train")
    module, _ = made[0]
    before = [parameter.clone() for parameter in module.parameters()]
    step()
    assert module.training
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize(("kind", "wanted"), [("group", True), ("lifting", False)])
def test_the_gradient_of_a_layers_input_is_that_of_a_network(monkeypatch, kind, wanted):
    from attentive_gconv.bench import steps

    made = []
    monkeypatch.setattr(steps, "build", lambda case: made.append(build(case)) or made[-1])
    step = prepare(Case("none", kind, **TINY), "train")
    step()
    module, x = made[0]
    first = module.weight.grad.clone()
    step()
    assert (x.grad is not None) == wanted
    assert torch.equal(module.weight.grad, first)  # cleared, not summed


def test_inference_keeps_transformed_kernels(monkeypatch):
    from attentive_gconv.bench import steps

    made = []
    monkeypatch.setattr(steps, "build", lambda case: made.append(build(case)) or made[-1])
    prepare(Case("none", "group", **TINY), "inference")()
    module, x = made[0]
    assert not module.training
    assert x.grad is None
    with torch.no_grad():
        assert module._packed_kernel() is module._packed_kernel()


def test_another_implementation_is_told_the_sizes(peer):
    module, x = build(Case("full", "group", factory=f"{peer}:definition", **TINY))
    assert module.method == "definition"
    assert tuple(module(x).shape) == (2, 4, 4, 7, 7)
    with pytest.raises(NotOffered, match="does not offer 'p4cnn'"):
        build(Case("p4cnn", factory=f"{peer}:definition"))


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("definition", ValueError, "give it as some.module:factory"),
        ("no_such_module:make", ImportError, "is its folder on PYTHONPATH"),
        ("{peer}:missing", ValueError, "has no callable 'missing'"),
        ("{peer}:not_callable", ValueError, "has no callable 'not_callable'"),
        ("{peer}:no_module", ValueError, "returned int for 'p4cnn'; it must be an nn.Module"),
    ],
)
def test_what_is_wrong_with_another_implementation_is_named(peer, spec, error, message):
    with pytest.raises(error, match=message):
        build(Case("p4cnn", factory=spec.format(peer=peer)))
