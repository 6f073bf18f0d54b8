"""What every layer owes as a module: shapes, dtypes, initial weights, repr, state, export."""

import copy
import io
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import attentive_gconv as ag
from helpers import GROUPS, KIND, KINDS, PM, build, group_id, kind_id, maps, randomise_

CONVOLUTIONS = ["lifting", "group", "full_lifting", "full_group", "input_lifting", "input_group", "rx_group"]


@pytest.mark.parametrize("group", GROUPS, ids=group_id)
@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
def test_shapes(kind, group):
    layer = build(kind, group, 3, 5, 3, padding=1, bias=True)
    assert layer(maps(group, 3, 6, 8, lifting=kind.lifting)).shape == (2, 5, group.order, 6, 8)
    order = () if kind.lifting else (group.order,)
    assert layer.weight.shape == (5, 3, *order, 3, 3)
    assert layer.bias.shape == (5,)


@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
def test_empty_batch(kind):
    layer = build(kind, "p4", 3, 5, 3, padding=1)
    assert layer(maps("p4", 3, 6, 8, lifting=kind.lifting, batch=0)).shape == (0, 5, 4, 6, 8)


@pytest.mark.parametrize("kind", ["lifting", "group", "full_lifting", "full_group", "input_lifting", "input_group"])
def test_parameters(kind):
    """The shapes of spec and checkpoints; index tables are no part of the state."""
    lifting, full = KIND[kind].lifting, KIND[kind].full
    layer = build(KIND[kind], "p4", 6, 5, 3, ratio=3) if not KIND[kind].plain else build(KIND[kind], "p4", 6, 5, 3)
    order, lead = () if lifting else (4,), (5,) if full else ()
    expected = {"weight": (5, 6, *order, 3, 3)}
    if not KIND[kind].plain:
        prefix = "" if full else "attention."
        expected |= {
            f"{prefix}channel_attention.weight_fc1": (*lead, 2, 6, *order),
            f"{prefix}channel_attention.weight_fc2": (*lead, 6, 2, *order),
            f"{prefix}spatial_attention.weight": (5 if full else 1, 2, *order, 7, 7),
        }
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == expected
    assert {name for name, _ in layer.named_parameters()} == set(expected)


@pytest.mark.parametrize("wscale", [1.0, 0.035, 2**0.5])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_initial_weights(kind, wscale):
    """U(-s, s) with s = wscale / √(C·k²), also for the 7x7 kernels with C = 2; gates Kaiming-uniform with a = √5."""
    layer = KIND[kind].layer("p4m", 8, 16, 3, bias=True, wscale=wscale, **KIND[kind].options)
    bounds = {"weight": wscale / math.sqrt(8 * 9), "spatial_attention.weight": wscale / math.sqrt(2 * 49)}
    if kind == "rx_group":
        bounds["spatial_attention.weight"] = wscale / math.sqrt(8)
    for name, parameter in layer.named_parameters():
        name = name.removeprefix("attention.")
        if name == "bias":
            assert parameter.eq(0).all()
            continue
        # Kaiming-uniform with a = √5 is U(-b, b) with b = 1 / √fan_in, fan_in the product of all axes but the first
        bound = bounds.get(name, 1 / math.sqrt(parameter[0].numel()))
        assert parameter.abs().max() <= bound
        assert parameter.abs().max() > 0.75 * bound
        assert abs(parameter.mean()) < 0.3 * bound


def test_wscale_of_one_by_one_kernels_uses_their_own_size():
    assert ag.nn.LiftingConv2d("p4", 4, 64, 1).weight.abs().max() > 0.4  # s = 1 / √4


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_dtypes(kind):
    """float32 agrees with float64; under autocast the layer runs in bfloat16 and agrees to its precision."""
    layer = build(KIND[kind], "p4", 3, 4, 3, bias=True)
    x = maps("p4", 3, 8, 8, lifting=KIND[kind].lifting)
    exact = layer(x)
    single = copy.deepcopy(layer).float()
    assert {parameter.dtype for parameter in single.parameters()} == {torch.float32}
    assert single(x.float()).dtype == torch.float32
    torch.testing.assert_close(single(x.float()).double(), exact, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        low = single(x.float())
        low.float().sum().backward()
    assert low.dtype in (torch.bfloat16, torch.float32)
    assert (low.double() - exact).abs().max() / exact.abs().max() < 0.05
    assert {parameter.grad.dtype for parameter in single.parameters()} == {torch.float32}


def test_autocast_runs_the_convolution_in_bfloat16():
    with torch.autocast("cpu", torch.bfloat16):
        assert ag.nn.LiftingConv2d("p4", 1, 2, 3)(torch.randn(1, 1, 6, 6)).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_dtype_and_device_arguments(kind):
    layer = KIND[kind].layer("p4", 3, 2, 3, bias=True, dtype=torch.float64, **KIND[kind].options)
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.float64}
    meta = KIND[kind].layer("p4", 3, 2, 3, device="meta", **KIND[kind].options)
    assert {parameter.device.type for parameter in meta.parameters()} == {"meta"}


REPRS = [
    (
        lambda: ag.nn.GroupConv2d("p4m", 3, 5, 3, stride=2, padding=1, dilation=(1, 2), bias=True),
        "GroupConv2d('p4m', 3, 5, kernel_size=3, stride=(2, 2), padding=(1, 1), dilation=(1, 2), bias=True)",
    ),
    (lambda: ag.nn.LiftingConv2d("p4", 4, 8, 3, groups=2), "LiftingConv2d('p4', 4, 8, kernel_size=3, groups=2)"),
    (lambda: ag.nn.LiftingConv2d(PM, 4, 8, 3), "LiftingConv2d('pm', 4, 8, kernel_size=3)"),
    (
        lambda: ag.nn.SpatialMaxPool2d(2, ceil_mode=True),
        "SpatialMaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0), ceil_mode=True)",
    ),
    (lambda: ag.nn.SpatialAvgPool2d(3, 2, 1), "SpatialAvgPool2d(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))"),
    (lambda: ag.nn.GroupMaxPool(), "GroupMaxPool()"),
]


@pytest.mark.parametrize(("make", "expected"), REPRS)
def test_repr(make: Callable[[], nn.Module], expected: str):
    assert repr(make()) == expected


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_state_survives_a_safe_file(kind):
    layer = build(KIND[kind], PM, 3, 2, 3, bias=True)
    twin = build(KIND[kind], PM, 3, 2, 3, bias=True)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    twin.load_state_dict(torch.load(file, weights_only=True))
    x = maps(PM, 3, 6, 6, lifting=KIND[kind].lifting)
    torch.testing.assert_close(twin(x), layer(x), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["group", "input_group", "full_lifting", "full_group"])
def test_compile_without_graph_breaks(kind):
    layer = build(KIND[kind], "p4", 2, 3, 3)
    x = maps("p4", 2, 6, 6, lifting=KIND[kind].lifting)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    layer.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), layer(x))


def test_integers_of_numpy_are_integers():
    layer = ag.nn.LiftingConv2d("p4", np.int64(1), np.int32(2), np.int64(3), padding=(np.int64(1), 1))
    assert layer(torch.randn(1, 1, 5, 5)).shape == (1, 2, 4, 5, 5)


def test_padding_by_name():
    assert ag.nn.GroupConv2d("p4", 1, 1, 5, padding="same", dilation=(1, 2)).padding == (2, 4)
    assert ag.nn.GroupConv2d("p4", 1, 1, 4, padding="same", dilation=2).padding == (3, 3)
    assert ag.nn.GroupConv2d("p4", 1, 1, 5, padding="valid", stride=2).padding == (0, 0)


def test_batch_norm_is_one_statistic_a_channel():
    x = maps("p4", 3, 5, 6, batch=4) * 3 + 1
    layer = ag.nn.GroupBatchNorm2d(3, eps=2e-5, momentum=1.0, dtype=torch.float64)
    out = layer(x)
    mean, variance = (f(x.transpose(0, 1).flatten(1)) for f in (lambda v: v.mean(1), lambda v: v.var(1, correction=0)))
    expected = (x - mean.view(3, 1, 1, 1)) / (variance.view(3, 1, 1, 1) + 2e-5).sqrt()
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(layer.running_mean, mean)
    assert list(layer.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    randomise_(layer.eval())
    affine = layer.weight.view(3, 1, 1, 1) * (x - layer.running_mean.view(3, 1, 1, 1))
    affine = affine / (layer.running_var.view(3, 1, 1, 1) + 2e-5).sqrt() + layer.bias.view(3, 1, 1, 1)
    torch.testing.assert_close(layer(x), affine)


@pytest.mark.parametrize("geometry", [(2, None, 0, False), (3, 2, 1, False), ((2, 3), (1, 2), (1, 0), True)], ids=str)
@pytest.mark.parametrize(
    ("ours", "plain"), [(ag.nn.SpatialMaxPool2d, nn.MaxPool2d), (ag.nn.SpatialAvgPool2d, nn.AvgPool2d)]
)
def test_spatial_pools_are_torchs_on_every_plane(ours, plain, geometry):
    kernel_size, stride, padding, ceil_mode = geometry
    reference = plain(kernel_size, stride, padding, ceil_mode=ceil_mode)
    x = maps("p4", 3, 8, 9)
    out = ours(*geometry)(x)
    for h in range(4):
        torch.testing.assert_close(out[:, :, h], reference(x[:, :, h]))
    torch.testing.assert_close(ours(*geometry)(x[:, :, 0]), reference(x[:, :, 0]))


def test_group_pools():
    x = maps("p4", 3, 4, 5)
    torch.testing.assert_close(ag.nn.GroupMaxPool()(x), x.max(2).values)
    torch.testing.assert_close(ag.nn.GroupMeanPool()(x), x.mean(2))
