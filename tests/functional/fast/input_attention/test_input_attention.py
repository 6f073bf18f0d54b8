"""Attention in few passes over the map is the definition: values, every gradient, ties, NaN, and all ways to derive."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

import attentive_gconv as ag
from attentive_gconv.functional import (
    COMBINATIONS,
    ChannelGate,
    InputAttentionWeights,
    SpatialGate,
    input_attention,
    input_attention_definition,
    kernel_index,
)
from attentive_gconv.functional.fast import dispatch
from helpers import maps, relative_error

BOTH = ("mean", "max")
PARTS = {"both": {}, "channel": {"spatial": False}, "spatial": {"channel": False}}


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def parts_of(
    group: str,
    channels: int = 3,
    *,
    planar: bool = False,
    channel: bool = True,
    spatial: bool = True,
    kinds: tuple[str, ...] = BOTH,
    dilation: tuple[int, int] = (1, 1),
    side: int = 5,
    combination: str = "suppress",
) -> InputAttentionWeights:
    """Random parts in float64 that ask for gradients."""
    poses = [] if planar else [ag.group(group).order]
    hidden = 2

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64).requires_grad_()

    index = None if planar else kernel_index(ag.group(group), over_group=True)
    gate = ChannelGate(leaf(hidden, channels, *poses), leaf(channels, hidden, *poses), index, kinds)
    with torch.no_grad():
        gate.fc1.abs_()  # no hidden unit is off on every input
    table = kernel_index(ag.group(group), side, over_group=not planar)
    where = SpatialGate(leaf(1, len(kinds), *poses, side, side), table, 0.7, kinds, dilation)
    return InputAttentionWeights(gate if channel else None, where if spatial else None, COMBINATIONS[combination])


def leaves(x: Tensor, parts: InputAttentionWeights) -> list[Tensor]:
    return [t for t in (x, *parts.tensors()) if t is not None and t.requires_grad]


def assert_is_the_definition(x: Tensor, parts: InputAttentionWeights, tolerance: float = 1e-12) -> None:
    out, expected = (function(x, parts) for function in (input_attention, input_attention_definition))
    assert type(out.grad_fn).__name__ == "_InputAttentionBackward"
    assert relative_error(out, expected) < tolerance
    grad = torch.randn_like(out)
    inputs = leaves(x, parts)
    kept = grad.clone()
    for ours, theirs in zip(*(torch.autograd.grad(y, inputs, grad) for y in (out, expected)), strict=True):
        if theirs.any():
            assert relative_error(ours, theirs) < tolerance
        else:  # of a hidden layer that is off everywhere
            assert not ours.any()
    assert torch.equal(grad, kept)


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("planar", [False, True], ids=["on the group", "planar"])
@pytest.mark.parametrize("group", ["z2", "p4", "p4m"])
def test_values_and_gradients(group, planar, part, combination):
    x = maps(group, 3, 7, 9, lifting=planar, batch=5).requires_grad_()
    assert_is_the_definition(x, parts_of(group, planar=planar, combination=combination, **PARTS[part]))


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (2, 3), (13, 11)], ids=str)
@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)], ids=str)
def test_sizes_and_dilations(size, dilation):
    assert_is_the_definition(maps("p4", 3, *size).requires_grad_(), parts_of("p4", dilation=dilation))


@pytest.mark.parametrize("kinds", [("mean",), ("max",), ("max", "mean")], ids=str)
@pytest.mark.parametrize("planar", [False, True])
def test_statistics(kinds, planar):
    x = maps("p4", 3, 6, 5, lifting=planar).requires_grad_()
    assert_is_the_definition(x, parts_of("p4", planar=planar, kinds=kinds))


@pytest.mark.parametrize("planar", [False, True])
def test_ties(planar):
    """Few different values, and maxima that are zeros of both signs: the gradient goes to the first maximum."""
    x = torch.randint(-2, 3, maps("p4", 3, 6, 5, lifting=planar).shape).double()
    assert_is_the_definition(x.relu().requires_grad_(), parts_of("p4", planar=planar))
    x = torch.where(torch.rand_like(x) < 0.3, -1.0, torch.copysign(torch.zeros_like(x), torch.randn_like(x)))
    x[0] *= 2
    assert_is_the_definition(x.requires_grad_(), parts_of("p4", planar=planar))


def test_the_first_maximum_gets_the_gradient():
    """Channel attention that sees the maximum alone, of a map whose maximum comes three times."""
    x = torch.zeros(1, 1, 1, 2, 3, dtype=torch.float64)
    x[..., 0, 1] = x[..., 1, 0] = x[..., 1, 2] = 1.0
    x.requires_grad_()
    gate = ChannelGate(
        torch.ones(1, 1, 1).double(), torch.ones(1, 1, 1).double(), torch.zeros(1, 1, dtype=torch.int64), ("max",)
    )
    input_attention(x, InputAttentionWeights(gate, None, COMBINATIONS["multiply"])).sum().backward()
    plain = torch.sigmoid(torch.tensor(1.0)).item()
    through_the_maximum = 3 * plain * (1 - plain)
    expected = torch.full((2, 3), plain).double()
    expected[0, 1] += through_the_maximum
    torch.testing.assert_close(x.grad[0, 0, 0], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("planar", [False, True])
def test_nan_and_infinity_go_where_the_definition_sends_them(value, part, planar):
    x = maps("p4", 3, 12, 11, lifting=planar, batch=3)
    x[1, 1, ..., 4, 6] = value
    if value == float("inf"):
        x[1, 1, ..., 4, 7] = -value
    x.requires_grad_()
    parts = parts_of("p4", planar=planar, **PARTS[part])
    results = []
    for function in (input_attention, input_attention_definition):
        out = function(x, parts)
        results.append((out, *torch.autograd.grad(out, leaves(x, parts), torch.ones_like(out))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12, equal_nan=True)
    assert results[0][0].isfinite()[0].all()
    assert not results[0][0].isfinite().all()


def test_images_that_need_no_gradient():
    for planar in (False, True):
        x = maps("p4", 3, 7, 6, lifting=planar)
        assert_is_the_definition(x, parts_of("p4", planar=planar))


def test_large_maps_on_two_threads(two_threads):
    x = maps("p4", 5, 30, 31, batch=9).requires_grad_()
    assert_is_the_definition(x, parts_of("p4", 5))


def test_views_of_other_memory():
    """A map and a gradient whose numbers do not lie in order."""
    x = maps("p4", 7, 3, 6, batch=4).transpose(1, 3).requires_grad_()
    assert not x.is_contiguous()
    parts = parts_of("p4")
    out, expected = (function(x, parts) for function in (input_attention, input_attention_definition))
    for ours, theirs in zip(*(torch.autograd.grad(y.sum(), leaves(x, parts)) for y in (out, expected)), strict=True):
        assert relative_error(ours, theirs) < 1e-12


def test_single_precision():
    x = maps("p4", 3, 7, 6)
    parts = parts_of("p4")
    exact = input_attention_definition(x, parts)
    out = input_attention(x.float(), parts.with_tensors(*(t.float() for t in parts.tensors())))
    assert out.dtype == torch.float32
    assert relative_error(out.double(), exact) < 1e-5


def test_without_gradients():
    x, parts = maps("p4", 3, 7, 6), parts_of("p4")
    expected = input_attention_definition(x, parts).detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert relative_error(input_attention(x, parts), expected) < 1e-12


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("planar", [False, True])
def test_derivatives_of_derivatives(part, planar):
    x = maps("p4", 2, 2, 3, lifting=planar, batch=1).requires_grad_()
    parts = parts_of("p4", 2, planar=planar, side=3, **PARTS[part])
    present = [t is not None for t in parts.tensors()]

    def function(x: Tensor, *weights: Tensor) -> Tensor:
        rest = iter(weights)
        return input_attention(x, parts.with_tensors(*(next(rest) if there else None for there in present)))

    inputs = leaves(x, parts)
    assert torch.autograd.gradcheck(function, inputs, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


class TestTransforms:
    """What cannot go through a backward of its own goes through the definition."""

    @pytest.fixture
    def module(self) -> nn.Module:
        return ag.nn.InputAttention("p4", 3, dtype=torch.float64)

    @pytest.fixture
    def x(self) -> Tensor:
        return maps("p4", 3, 5, 6, batch=4)

    def test_vmap(self, module, x):
        outs = torch.func.vmap(lambda sample: module(sample.unsqueeze(0)).squeeze(0))(x)
        torch.testing.assert_close(outs, module(x))

    def test_gradients_of_each_sample(self, module, x):
        weights = {name: value.detach() for name, value in module.named_parameters()}

        def loss(weights: dict[str, Tensor], sample: Tensor) -> Tensor:
            return torch.func.functional_call(module, weights, (sample.unsqueeze(0),)).square().sum()

        each = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
        module(x).square().sum().backward()
        for name, value in module.named_parameters():
            torch.testing.assert_close(each[name].sum(0), value.grad)

    # torch.func.jvp makes some of its own formulas with a deprecated part of PyTorch
    @pytest.mark.filterwarnings("ignore:`torch.jit")
    def test_forward_mode(self, module, x):
        direction = torch.randn_like(x)
        _, expected = torch.func.jvp(module, (x,), (direction,))
        with forward_ad.dual_level():
            dual = module(forward_ad.make_dual(x, direction))
            torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected)
        small = 1e-6
        finite = (module(x + small * direction) - module(x - small * direction)) / (2 * small)
        torch.testing.assert_close(expected, finite, rtol=1e-5, atol=1e-7)


class TestModules:
    """When the modules take the few passes, and that they do not when somebody would notice."""

    @pytest.mark.parametrize("order", ["channel_first", "spatial_first", "parallel"])
    @pytest.mark.parametrize("over_group", [True, False])
    def test_hooks_see_every_part_and_change_nothing(self, order, over_group):
        module = ag.nn.InputAttention("p4", 4, over_group=over_group, order=order, dtype=torch.float64)
        x = maps("p4", 4, 7, 6, lifting=not over_group)
        out = module(x)
        assert (type(out.grad_fn).__name__ == "_InputAttentionBackward") == (order == "channel_first")
        seen = []
        parts = [part for part in module.modules() if isinstance(part, ag.nn.ChannelAttention | ag.nn.SpatialAttention)]
        for part in parts:
            part.register_forward_hook(lambda part, args, alpha: seen.append(alpha))
        torch.testing.assert_close(module(x), out, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(module.suppression_map(x), (x - out) / x)
        assert order == "parallel" or len(seen) == 2 * len(parts)

    @pytest.mark.parametrize(
        "change",
        [
            {"channel_attention": ag.nn.ChannelAttention("p4", 4, bias=True)},
            {"channel_attention": ag.nn.ChannelAttention("p4", 4, norm="hidden")},
            {"spatial_attention": ag.nn.SpatialAttention("p4", bias=True)},
            {"spatial_attention": ag.nn.SpatialAttention("p4", norm=True)},
            {"spatial_attention": ag.nn.SpatialAttention("p4", gate="spatial_norm")},
            {"spatial_attention": ag.nn.SpatialAttention("p4", statistics=(), channels=4)},
        ],
        ids=lambda change: repr(next(iter(change.values()))),
    )
    def test_other_parts_are_called(self, change):
        module = ag.nn.InputAttention("p4", 4)
        for name, part in change.items():
            setattr(module, name, part)
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
        x = torch.randn(3, 4, 4, 6, 6)
        out = module.eval()(x)
        assert type(out.grad_fn).__name__ != "_InputAttentionBackward"
        torch.testing.assert_close(out, x - module.suppression_map(x) * x)

    def test_derived_classes_are_called(self):
        class Louder(ag.nn.ChannelAttention):
            def logits(self, x: Tensor) -> Tensor:
                return super().logits(x) + 1

        x = torch.randn(2, 3, 4, 5, 5)
        module = ag.nn.Attend({"what": Louder("p4", 3)})
        torch.testing.assert_close(module(x), module.what(x) * x)
        plain = ag.nn.Attend({"what": ag.nn.ChannelAttention("p4", 3)})
        plain.load_state_dict(module.state_dict())
        assert not torch.allclose(module(x), plain(x))

    def test_autocast_is_left_to_the_definition(self):
        module, x = ag.nn.InputAttention("p4", 3), torch.randn(2, 3, 4, 6, 6)
        with torch.autocast("cpu", torch.bfloat16):
            low = module(x)
        assert type(low.grad_fn).__name__ != "_InputAttentionBackward"
        torch.testing.assert_close(low.float(), module(x), rtol=0.02, atol=0.02)


# compiled kernels check no bounds: they would read other memory
@pytest.mark.parametrize("entry", [-1, 100])
@pytest.mark.parametrize(("part", "entries"), [("channel", 4), ("spatial", 100)])
def test_tables_that_name_what_a_kernel_has_not(part, entries, entry):
    weights = parts_of("p4", **PARTS[part])
    (weights.channel or weights.spatial).index.view(-1)[3] = entry
    with pytest.raises(ValueError, match=rf"`index` .* names entry {entry} of a weight with {entries} entries"):
        input_attention(maps("p4", 3, 7, 7), weights)


@pytest.mark.filterwarnings("ignore::attentive_gconv.groups.ApproximateGroupWarning")
def test_the_table_of_a_group_that_interpolates_needs_sampled_weights():
    table, gate = kernel_index(ag.group("c8"), 3, over_group=True), torch.randn(1, 1, 8, 3, 3)
    with pytest.raises(ValueError, match=r"names entry 143 of a weight with 72 entries .* `sample_kernel`"):
        input_attention(
            torch.randn(2, 3, 8, 6, 6), InputAttentionWeights(None, SpatialGate(gate, table, 1.0, ("mean",), (1, 1)))
        )


def test_without_compiled_kernels_it_is_the_definition(monkeypatch):
    parts, x = parts_of("p4"), maps("p4", 3, 6, 5).requires_grad_()
    assert type(input_attention(x, parts).grad_fn).__name__ == "_InputAttentionBackward"
    monkeypatch.setattr(dispatch, "fastest_backend", lambda device: "torch")
    out = input_attention(x, parts)
    assert type(out.grad_fn).__name__ != "_InputAttentionBackward"
    assert torch.equal(out, input_attention_definition(x, parts))
