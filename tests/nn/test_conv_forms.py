"""The forms of a group convolution in layers: the same numbers in every mode, the cache, configuration, repr."""

import copy
import importlib.util
import pickle

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.fast.irreps_conv.form_rule import Size, has_kernels, irreps_are_faster
from helpers import relative_error

NODE = "_IrrepsConvBackward"
needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs Numba")


def layer_and_map(kind: type = ag.nn.GroupConv2d, **options: object) -> tuple[ag.nn.GroupConv2d, torch.Tensor]:
    layer = kind("p4m", 3, 4, 3, padding=1, bias=True, dtype=torch.float64, **options)
    torch.nn.init.normal_(layer.bias)
    return layer, torch.randn(2, 3, 8, 6, 7, dtype=torch.float64, requires_grad=True)


def forms(layer: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for conv in ("expanded", "irreps"):
        ag.nn.configure_convolution(layer, conv=conv)
        found.append(layer(x))
    return found


@needs_numba
@pytest.mark.parametrize("kind", [ag.nn.GroupConv2d, ag.nn.InputAttentiveGroupConv2d])
def test_values_and_gradients(kind):
    layer, x = layer_and_map(kind)
    expanded, irreps = forms(layer, x)
    assert type(irreps.grad_fn).__name__ == NODE
    assert relative_error(irreps, expanded) < 1e-12
    grad, wanted = torch.randn_like(irreps), (x, *layer.parameters())
    for ours, theirs in zip(*(torch.autograd.grad(y, wanted, grad) for y in (irreps, expanded)), strict=True):
        assert relative_error(ours, theirs) < 1e-12


@needs_numba
@pytest.mark.parametrize("mode", ["reflect", "circular"])
def test_padding_modes(mode):
    layer, x = layer_and_map(padding_mode=mode)
    expanded, irreps = forms(layer, x)
    assert type(irreps.grad_fn).__name__ == NODE
    assert relative_error(irreps, expanded) < 1e-12


@needs_numba
def test_inference_keeps_the_packed_kernel_while_it_is_the_same():
    layer, x = layer_and_map()
    expanded, irreps = (y.detach() for y in forms(layer.eval(), x))
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(layer(x), irreps, rtol=0, atol=0)
        layer.weight.mul_(2)
        shift = layer.bias[:, None, None, None]
        assert relative_error(layer(x) - shift, 2 * (expanded - shift)) < 1e-12
        layer.conv = "expanded"
        doubled = layer(x)
        layer.conv = "irreps"
        assert relative_error(layer(x), doubled) < 1e-12


@needs_numba
def test_copies_and_pickles_compute_alike():
    layer, x = layer_and_map()
    layer.conv = "irreps"
    expected = layer(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.conv == "irreps"
        torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)


@needs_numba
def test_whatever_looks_inside_gets_the_expanded_form():
    layer, x = layer_and_map()
    expected, _ = forms(layer, x)
    mapped = torch.func.vmap(lambda one: layer(one[None])[0])(x)
    assert relative_error(mapped, expected) < 1e-12
    gradient = torch.func.grad(lambda x: layer(x).square().sum())(x)
    assert relative_error(gradient, *torch.autograd.grad(expected.square().sum(), x)) < 1e-12
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.float()(x.float()).dtype == torch.bfloat16


@needs_numba
def test_compiled_and_exported():
    layer, x = layer_and_map()
    expected, _ = forms(layer, x)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert relative_error(compiled(x), expected) < 1e-12
    exported = torch.export.export(layer, (x.detach(),)).module()
    assert relative_error(exported(x), expected) < 1e-12


@needs_numba
def test_what_the_layer_shows():
    layer, x = layer_and_map()
    plain = repr(layer)
    assert "conv" not in plain.replace("GroupConv2d", "")
    forms(layer, x)
    assert "conv='irreps'" in repr(layer)
    layer.conv = "auto"
    with torch.no_grad():
        layer(x.detach()[..., :3, :3])
        assert repr(layer) == plain
        layer.eval()(torch.randn(8, 3, 8, 32, 32, dtype=torch.float64))
    assert "conv='auto' (by irreps)" in repr(layer)


def test_without_numba_the_expanded_form_stays(monkeypatch):
    monkeypatch.setattr(dispatch, "available_backends", lambda: {"numba": False})
    has_kernels.cache_clear()
    try:
        layer, x = layer_and_map()
        expanded, other = forms(layer, x)
        torch.testing.assert_close(other, expanded, rtol=0, atol=0)
        assert type(other.grad_fn).__name__ != NODE
    finally:
        has_kernels.cache_clear()


def test_other_layers_are_expanded():
    x = torch.randn(1, 2, 4, 5, 5)
    grouped = ag.nn.GroupConv2d("p4", 2, 2, 3, groups=2)
    grouped.conv = "irreps"
    assert type(grouped(x).grad_fn).__name__ != NODE
    trivial = ag.nn.GroupConv2d("z2", 2, 2, 3)
    trivial.conv = "irreps"
    assert type(trivial(x[:, :, :1]).grad_fn).__name__ != NODE


def test_configuring_a_network():
    model = ag.create_model("alpha_f_p4cnn")
    assert ag.nn.configure_convolution(model, conv="irreps") == 12  # 6 layers and their spatial attention
    assert [m.conv for m in model.modules() if isinstance(m, ag.nn.InputAttentiveGroupConv2d)] == ["irreps"] * 6
    assert ag.nn.configure_convolution(ag.create_model("alpha_p4cnn"), conv="irreps") == 0
    with pytest.raises(ValueError, match="did you mean 'irreps'"):
        ag.nn.configure_convolution(model, conv="irrep")


@pytest.mark.parametrize("training", [False, True])
def test_the_rule_grows_with_the_work(training):
    """Once the form is worth while it stays so with more positions, and large layers take it."""
    size = Size(ag.group("p4m"), 32, 32, 3, 1, False, training, 2)
    taken = [irreps_are_faster(size._replace(positions=2**n)) for n in range(20)]
    assert taken == sorted(taken)
    assert taken[-1]
    assert not irreps_are_faster(Size(ag.group("p4"), 1, 1, 1, 1, False, training, 1))
