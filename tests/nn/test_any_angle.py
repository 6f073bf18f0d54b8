"""Layers, attention and pools on groups beyond 90°: exact where the grid is, right on smooth images elsewhere."""

import math

import pytest
import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.functional import attentive_conv2d_definition, input_attention_definition
from attentive_gconv.models.blocks import POOLS
from attentive_gconv.nn import packed_weights
from helpers import KIND, KINDS, build, kind_id, maps, open_gates_, relative_error


def spots(*channels: int, side: int = 27) -> torch.Tensor:
    """A smooth image, dark outside the disc: Gaussian spots, the same in every pose where there are any."""
    generator = torch.Generator().manual_seed(3)
    centres = 0.17 * side * (2 * torch.rand(*channels, 4, 2, 1, 1, generator=generator, dtype=torch.float64) - 1)
    line = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    distance = (line[:, None] - centres[..., 0, :, :]) ** 2 + (line - centres[..., 1, :, :]) ** 2
    signs = torch.rand(*channels, 4, 1, 1, generator=generator, dtype=torch.float64) - 0.3
    return (signs * torch.exp(-distance / 8)).sum(-3)


@pytest.mark.parametrize("group", ["c8", "d6", "c3"])
@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
def test_the_exact_subgroup_is_exact(kind, group):
    """On noise, in float64, for every layer and attention; even kernels and strides too."""
    layer = build(kind, group, 3, 2, kernel_size=3, stride=2)
    x = maps(group, 3, 9, 9, lifting=kind.lifting)
    ag.testing.assert_equivariant(layer, group, x, approximate_tolerance=math.inf)
    assert ag.check_equivariance(layer, group, x).exact.max() <= 1e-10


@pytest.mark.parametrize("attend", [ag.nn.SqueezeExcite, ag.nn.CBAM, ag.nn.BAM, ag.nn.ResidualAttention])
def test_published_attention_is_exact_under_the_exact_subgroup(attend):
    module = attend("c8", 4, **({"depth": 1} if attend is ag.nn.ResidualAttention else {"ratio": 2})).double()
    x = maps("c8", 4, 8, 8)
    assert ag.check_equivariance(module, "c8", x).exact.max() <= 1e-10


@pytest.mark.parametrize("kernel_size", [3, 5, 7, 9])
@pytest.mark.parametrize(
    "kind", [KIND[name] for name in ("lifting", "group", "full_group", "input_group")], ids=kind_id
)
def test_other_elements_are_approximate_on_smooth_images(kind, kernel_size):
    layer = open_gates_(build(kind, "c8", 2, 3, kernel_size=kernel_size, padding=kernel_size // 2))
    x = spots(2, 2) if kind.lifting else ag.nn.LiftingConv2d("c8", 2, 2, 5, padding=2).double()(spots(2, 2)).detach()
    tolerance = 0.08 if kernel_size == 3 else 0.05
    ag.testing.assert_equivariant(layer, "c8", x, approximate_tolerance=tolerance)
    # a layer of p4 has no pose for 45°, and its kernels do not turn so far
    planar = lambda f: build(KIND["lifting"], "p4", 2, 3, 3)(f).amax(2)
    assert ag.check_equivariance(planar, "c8", spots(2, 2)).approximate.min() > 0.1


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("kind", [KIND[name] for name in ("full_group", "full_lifting")], ids=kind_id)
def test_streaming_is_the_definition(kind, backend):
    layer = open_gates_(build(kind, "c8", 2, 2, kernel_size=3, padding=1))
    x = maps("c8", 2, 7, 7, lifting=kind.lifting).requires_grad_()
    parameters = list(layer.parameters())
    layer.configure(backend=backend)
    fast = layer(x)
    layer.configure(method="definition")
    exact = layer(x)
    torch.testing.assert_close(fast, exact, rtol=0, atol=1e-12)
    grad = torch.randn_like(exact)
    for a, b in zip(*(torch.autograd.grad(out, [x, *parameters], grad) for out in (fast, exact)), strict=True):
        assert relative_error(a, b) < 1e-10
    with torch.no_grad():
        torch.testing.assert_close(layer(x), attentive_conv2d_definition(layer.check_input(x), layer._pack()))


@pytest.mark.parametrize("over_group", [True, False])
def test_compiled_input_attention_is_the_definition(over_group):
    attention = open_gates_(ag.nn.InputAttention("c8", 3, over_group=over_group, dtype=torch.float64))
    x = maps("c8", 3, 9, 9, lifting=not over_group).requires_grad_()
    weights = attention._fused_weights(x)
    fast, exact = attention(x), input_attention_definition(x, weights)
    torch.testing.assert_close(fast, exact, rtol=0, atol=1e-12)
    grad, parameters = torch.randn_like(exact), list(attention.parameters())
    found = [torch.autograd.grad(out, [x, *parameters], grad, retain_graph=True) for out in (fast, exact)]
    for a, b in zip(*found, strict=True):
        assert relative_error(a, b) < 1e-10


@pytest.mark.parametrize("kind", [KIND[name] for name in ("group", "full_group", "input_group")], ids=kind_id)
def test_packed_weights_follow_parameters_dtype_and_device(kind):
    layer, x = build(kind, "c8", 2, 2, kernel_size=3).eval(), maps("c8", 2, 7, 7)
    with torch.no_grad():
        before = layer(x)
        assert torch.equal(layer(x), before)
        layer.weight.mul_(2)
        assert not torch.allclose(layer(x), before)
        layer.weight.div_(2)
        # the basis has the precision of the new dtype, not of the old one
        single = layer.float()(x.float())
        assert relative_error(single.double(), before) < 1e-5
        assert relative_error(layer.double()(x), before) < 1e-6
    with torch.device("meta"):
        copy = kind.layer("c8", 2, 2, kernel_size=3, dtype=torch.float64, **kind.options)
    copy.load_state_dict(layer.state_dict(), assign=True)
    assert not [name for name in layer.state_dict() if "basis" in name or "index" in name]
    with torch.no_grad():
        assert torch.equal(copy.eval()(x), layer.eval()(x))


@pytest.mark.parametrize("over_group", [True, False])
def test_samples_of_a_spatial_gate_are_computed_once_in_inference(over_group, monkeypatch):
    calls = []
    sample = packed_weights.sample_kernel
    monkeypatch.setattr(packed_weights, "sample_kernel", lambda *given: calls.append(1) or sample(*given))
    attention = open_gates_(ag.nn.InputAttention("c8", 3, over_group=over_group, dtype=torch.float64)).eval()
    spatial, x = attention.spatial_attention, maps("c8", 3, 9, 9, lifting=not over_group)

    def new_samples(expected: int, module: nn.Module = attention, x: torch.Tensor = x) -> torch.Tensor:
        calls.clear()
        out = module(x)
        torch.testing.assert_close(out, input_attention_definition(x, module._fused_weights(x)))
        assert len(calls) == expected
        return out

    with torch.no_grad():
        before = new_samples(1)
        assert torch.equal(new_samples(0), before)
        spatial.weight.mul_(2)
        changed = new_samples(1)
        assert not torch.allclose(changed, before)
        spatial.weight.data.div_(2)
        torch.testing.assert_close(new_samples(1), before)
        spatial.load_state_dict({"weight": 2 * spatial.weight})
        torch.testing.assert_close(new_samples(1), changed)
        spatial.weight = nn.Parameter(spatial.weight / 2)
        torch.testing.assert_close(new_samples(1), before)
        new_samples(1, attention.float(), x.float())
        new_samples(0, attention, x.float())
        spatial.clear_cache()
        new_samples(1, attention, x.float())
        attention.train()
        new_samples(2, attention, x.float())  # nothing is kept: once for each of the two
    attention.eval()
    out = new_samples(2, attention, x.float())  # with gradients
    (grad,) = torch.autograd.grad(out.sum(), spatial.weight)
    assert grad.abs().max() > 0


def test_autocast_leaves_the_samples_of_a_kernel_alone():
    layer = ag.nn.GroupConv2d("c8", 2, 2, 3)
    kernel = layer.kernel()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.kernel(), kernel)


def test_conv_forms_fall_back_to_conv2d():
    layer, x = build(KIND["group"], "c8", 4, 4, kernel_size=3), maps("c8", 4, 9, 9)
    expected = layer(x)
    layer.conv = "irreps"
    assert torch.equal(layer(x), expected)


def test_weights_and_their_scale():
    layer = ag.nn.GroupConv2d("c8", 20, 20, 5)
    assert layer.weight.shape == (20, 20, 8, 11)
    bound = 1 / (20 * 25) ** 0.5
    # samples have the variance that kernels of k x k independent weights have
    std = (layer.kernel() / layer.scale).std().item()
    assert std == pytest.approx(bound / 3**0.5, rel=0.03)
    assert ag.nn.GroupConv2d("c8", 2, 3, 1).weight.shape == (3, 2, 8, 1, 1)


def test_export_and_compile_see_plain_operations():
    layer, x = ag.nn.GroupConv2d("c8", 2, 2, 3).eval(), torch.randn(1, 2, 8, 7, 7)
    program = torch.export.export(layer, (x,))
    torch.testing.assert_close(program.module()(x), layer(x))


class TestBlurPool:
    @pytest.mark.parametrize(("taps", "padding", "side"), [(3, 1, 7), (3, 0, 8), (2, 0, 8), (4, 1, 8), (5, 2, 9)])
    def test_it_is_a_convolution_with_the_binomial_filter(self, taps, padding, side):
        row = {2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1]}[taps]
        filter_ = torch.tensor(row, dtype=torch.float64) / sum(row)
        x = torch.randn(2, 3, 4, side, side, dtype=torch.float64, requires_grad=True)
        pool = ag.nn.SpatialBlurPool2d(taps, padding=padding)
        planes = nn.functional.pad(x.flatten(0, 1), (padding,) * 4, "replicate").flatten(0, 1)[:, None]
        kernel = (filter_[:, None] * filter_)[None, None]
        expected = nn.functional.conv2d(planes, kernel, stride=2)
        torch.testing.assert_close(pool(x), expected.view(2, 3, 4, *expected.shape[-2:]))
        assert pool(x[:, :, 0]).shape == (2, 3, *expected.shape[-2:])

    @pytest.mark.parametrize("group", ["p4m", "d8"])
    def test_it_is_exact_where_its_samples_are_symmetric(self, group):
        x = maps(group, 2, 9, 9)
        assert ag.check_equivariance(ag.nn.SpatialBlurPool2d(3), group, x).exact.max() < 1e-10
        assert ag.check_equivariance(ag.nn.SpatialBlurPool2d(3), group, maps(group, 2, 8, 8)).exact.max() > 0.01

    def test_a_blurred_maximum_loses_less_of_a_rotation(self):
        f = ag.nn.LiftingConv2d("c8", 2, 4, 5, padding=2).double()(spots(2, 2, side=32)).detach()
        plain, blurred = (
            ag.check_equivariance(pool, "c8", f).approximate.max()
            for pool in (ag.nn.SpatialMaxPool2d(2), POOLS["blur"]())
        )
        assert blurred < 0.7 * plain
        assert ag.check_equivariance(POOLS["blur"](), "c8", f).exact.max() < 1e-10
