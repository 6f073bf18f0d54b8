"""Values of every convolution layer against the formulas in plain loops, and the forms that must coincide."""

import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag
import naive
from helpers import GROUPS, KIND, KINDS, NAMED, Kind, build, group_id, kind_id, maps

# (Y, X), kernel size, stride, padding, dilation: as conv2d takes them, also where rotations would not commute
GEOMETRIES = [
    ((5, 5), 3, 1, 0, 1),
    ((6, 5), 3, 1, 1, 1),
    ((7, 8), 3, 2, 1, 2),
    ((5, 6), 2, 1, 1, 1),
    ((6, 6), 4, (1, 2), (2, 1), 1),
    ((8, 7), 3, 1, (0, 2), (1, 3)),
    ((4, 5), 1, 1, 0, 1),
]


def parts(layer: nn.Module) -> tuple[Tensor | None, ...]:
    """W1, W2 and ψ_X of a layer with attention."""
    owner = getattr(layer, "attention", layer)
    channel, spatial = owner.channel_attention, owner.spatial_attention
    gate = (None, None) if channel is None else (channel.weight_fc1, channel.weight_fc2)
    return (*gate, None if spatial is None else spatial.weight)


def expected(kind: Kind, layer: nn.Module, name: str, x: Tensor, spatial_dilation: int, **geometry: object) -> Tensor:
    """The layer's output by the formulas."""
    if kind.full:
        form = naive.full_lifting if kind.lifting else naive.full_group
        out = form(name, x, layer.weight, *parts(layer), spatial_dilation, **geometry)
    else:
        if not kind.plain:
            form = naive.input_lifting if kind.lifting else naive.input_group
            x = form(name, x, *parts(layer), spatial_dilation, statistics=kind.options.get("statistics") != ())
        out = (naive.lifting_conv if kind.lifting else naive.group_conv)(name, x, layer.weight, **geometry)
    return out + layer.bias[:, None, None, None]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
def test_layer_is_its_formula(kind, name, geometry):
    size, kernel_size, stride, padding, dilation = geometry
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    has_spatial_kernel = not kind.plain and {"spatial", "spatial_kernel_size"}.isdisjoint(kind.options)
    spatial = {"spatial_kernel_size": 5, "spatial_dilation": 2} if has_spatial_kernel else {}
    layer = build(kind, name, 3, 2, kernel_size, bias=True, **geometry, **spatial)
    x = maps(name, 3, *size, lifting=kind.lifting)
    out = layer(x)
    torch.testing.assert_close(out, expected(kind, layer, name, x, 2 if spatial else 1, **geometry), rtol=0, atol=1e-11)
    layer.eval()
    with torch.no_grad():  # the cached kernels give the same, the first time and the second
        for _ in range(2):
            torch.testing.assert_close(layer(x), out, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ["lifting", "group", "input_lifting", "input_group"])
def test_channel_groups_are_separate_convolutions(kind):
    layer = build(KIND[kind], "p4", 4, 6, 3, groups=2, bias=True, padding=1)
    x = maps("p4", 4, 5, 5, lifting=KIND[kind].lifting)
    seen = layer.attention(x) if hasattr(layer, "attention") else x
    halves = []
    for i in range(2):
        half = build(KIND["lifting" if KIND[kind].lifting else "group"], "p4", 2, 3, 3, padding=1, bias=True)
        half.weight.data, half.bias.data = layer.weight.data[3 * i : 3 * i + 3], layer.bias.data[3 * i : 3 * i + 3]
        halves.append(half(seen[:, 2 * i : 2 * i + 2]))
    torch.testing.assert_close(layer(x), torch.cat(halves, 1))


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name_is_that_of_conv2d(padding):
    layer = build(KIND["lifting"], "z2", 2, 3, 5, padding=padding, dilation=2)
    x = maps("z2", 2, 11, 10, lifting=True)
    plain = nn.functional.conv2d(x, layer.weight, padding=padding, dilation=2)
    torch.testing.assert_close(layer(x).squeeze(2), plain)


def positive_(layer: nn.Module) -> nn.Module:
    """Weights above zero, so that on positive maps every response and statistic is above zero."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(0.5, 1)
    return layer


def shut_(layer: nn.Module) -> nn.Module:
    """Drive the gates to 0: logits far below zero wherever the statistics are above it."""
    with torch.no_grad():
        *_, fc2, psi = parts(layer)
        for last in (fc2, psi):
            if last is not None:
                last.mul_(-1e9)
    return layer


@pytest.mark.parametrize("group", GROUPS, ids=group_id)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.plain], ids=kind_id)
def test_attention_that_suppresses_nothing_gives_the_plain_convolution(kind, group):
    plain = build(KIND["lifting" if kind.lifting else "group"], group, 3, 2, 3, padding=1, bias=True)
    layer = build(kind, group, 3, 2, 3, padding=1, bias=True)
    positive_(plain), positive_(layer)
    layer.weight.data, layer.bias.data = plain.weight.data, plain.bias.data
    x = maps(group, 3, 6, 6, lifting=kind.lifting).abs() + 0.1
    assert not torch.allclose(layer(x), plain(x), rtol=1e-2)
    torch.testing.assert_close(shut_(layer)(x), plain(x), rtol=1e-12, atol=0)


def symmetric(side: int) -> Tensor:
    """A kernel that every element of p4m leaves as it is."""
    kernel = torch.randn(side, side, dtype=torch.float64)
    return torch.stack([naive.move(h, kernel) for h in range(8)]).sum(0)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("part", ["", "_channel", "_spatial"])
@pytest.mark.parametrize("where", ["lifting", "group"])
def test_full_attention_whose_maps_do_not_depend_on_the_output_is_input_attention(where, part, name):
    """The layers themselves: with ψ = 1 (1x1) f~ is the input, and gates that are the same for every o and h⁻¹h', with
    symmetric ψ_X, make one map of it; the same map from input attention needs its weights at h⁻¹h' = e alone."""
    options = {} if part == "_spatial" else {"ratio": 2}
    full, on_input = (build(KIND[f"{form}_{where}{part}"], name, 4, 3, 1, **options) for form in ("full", "input"))
    group = ag.group(name)
    with torch.no_grad():
        full.weight.fill_(1), on_input.weight.fill_(1)
        values = [torch.randn(2, 4).double(), torch.randn(4, 2).double(), torch.stack([symmetric(7), symmetric(7)])]
        for value, ours, theirs in zip(values, parts(full), parts(on_input), strict=True):
            if ours is None:
                continue
            spatial = value.shape[-1] == 7
            if where == "lifting":
                ours.copy_(value.expand_as(ours)), theirs.copy_(value.expand_as(theirs))
                continue
            axis = 2 if spatial else -1
            ours.copy_(value.unsqueeze(axis - 1 if spatial else axis).expand_as(ours))
            theirs.zero_()
            theirs.select(axis, 0).copy_(value / group.quadrature_weight if spatial else value)
    x = maps(name, 4, 6, 6, lifting=where == "lifting")
    torch.testing.assert_close(full(x), on_input(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMED)
def test_mixing_responses_with_a_map_of_the_input_is_convolving_the_attended_input(name):
    """The same identity for any kernel, written with the functional parts: α(c, h') passes through the convolution."""
    layer = build(KIND["input_group_channel"], name, 4, 3, 3, padding=1)
    x = maps(name, 4, 6, 6)
    alpha = layer.attention.channel_attention(x)[:, None, None]
    index = ag.functional.kernel_index(ag.group(name), 3, over_group=True)
    f = ag.functional.separate_responses(x, ag.functional.transform_kernel(layer.weight, index), padding=1)
    out = layer.scale * ag.functional.SUPPRESS.mix(f, alpha * f).sum((3, 4))
    torch.testing.assert_close(out, layer(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("combination", ["multiply", "amplify"])
@pytest.mark.parametrize("kind", ["full_lifting", "full_group", "input_lifting", "input_group"])
def test_combinations_add_up(kind, combination):
    """(1 - α)f + αf = f, and (1 + α)f - αf = f."""
    layers = [
        build(KIND[kind], "p4", 3, 2, 3, combination=rule) for rule in ("suppress", combination, "multiply", "amplify")
    ]
    for layer in layers[1:]:
        layer.load_state_dict(layers[0].state_dict())
    x = maps("p4", 3, 6, 6, lifting=KIND[kind].lifting)
    suppressed, chosen, multiplied, amplified = (layer(x) for layer in layers)
    plain = build(KIND["lifting" if KIND[kind].lifting else "group"], "p4", 3, 2, 3)
    plain.weight.data = layers[0].weight.data
    torch.testing.assert_close(suppressed + multiplied, plain(x))
    torch.testing.assert_close(amplified - multiplied, plain(x))
    assert not torch.allclose(chosen, suppressed)


@pytest.mark.parametrize("kind", ["full_lifting", "full_group"])
def test_attention_maps_are_those_the_layer_uses(kind):
    layer = build(KIND[kind], "p4", 3, 2, 3, padding=1)
    x = maps("p4", 3, 6, 7, lifting=KIND[kind].lifting)
    channel, spatial = layer.suppression_maps(x)
    depth = 1 if KIND[kind].lifting else 4
    assert channel.shape == (2, 2, 4, 3, depth, 1, 1)
    assert spatial.shape == (2, 2, 4, 1, depth, 6, 7)
    for alpha in (channel, spatial):
        assert alpha.min() > 0
        assert alpha.max() < 1
    kernel = layer.kernel()  # with the quadrature weight
    f = ag.functional.separate_responses(layer.check_input(x), kernel, padding=1)
    torch.testing.assert_close(((1 - spatial * channel) * f).sum((3, 4)), layer(x))
