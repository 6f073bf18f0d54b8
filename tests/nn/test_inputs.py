"""Inputs and weights in other layouts, of other dtypes, on machines of another default device, a batch of one."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag
from helpers import KIND, build, maps

LAYERS = ["lifting", "group", "full_lifting", "full_group", "input_lifting", "input_group"]
ATTENTION: dict[str, Callable[[], nn.Module]] = {
    "bam": lambda: ag.nn.BAM("p4", 4, 2),
    "cbam": lambda: ag.nn.CBAM("p4", 4, 2, norm=True),
    "residual": lambda: ag.nn.ResidualAttention("p4", 4),
    "channel": lambda: ag.nn.ChannelAttention("p4", 4),
    "spatial": lambda: ag.nn.SpatialAttention("p4"),
    "norm": lambda: ag.nn.GroupBatchNorm2d(4),
}


def computed(module: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs in training and in inference, and gradients."""
    x = x.detach().requires_grad_()
    module.zero_grad()
    out = module.eval()(x)
    out.square().sum().backward()
    with torch.no_grad():
        return [out.detach(), module(x), x.grad, *(p.grad for p in module.parameters())]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.channels_last_3d])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_another_memory_format(name: str, memory_format: torch.memory_format) -> None:
    kind = KIND[name]
    layer, x = build(kind, "p4m", 3, 4, 3), maps("p4m", 3, 6, 5, lifting=kind.lifting)
    expected = computed(layer, x)
    values = {key: value.clone() for key, value in layer.state_dict().items()}
    assert layer.to(memory_format=memory_format) is layer
    assert all(torch.equal(value, values[key]) for key, value in layer.state_dict().items())
    assert_same(computed(layer, x), expected)
    own = torch.channels_last if kind.lifting else torch.channels_last_3d
    assert_same(computed(layer, x.to(memory_format=own)), expected)


@pytest.mark.parametrize("name", ["p4cnn", "alpha_p4cnn", "alpha_f_p4cnn", "alpha_rx_p4cnn"])
def test_networks_in_another_memory_format(name: str) -> None:
    model = ag.create_model(name).double()
    x = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    expected = computed(model, x)
    model.to(memory_format=torch.channels_last)
    assert_same(computed(model, x.to(memory_format=torch.channels_last)), expected)
    assert model.to(torch.float32, memory_format=torch.channels_last).c2.weight.dtype == torch.float32


@pytest.fixture
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.parametrize("name", [*LAYERS, *ATTENTION])
def test_a_default_device_other_than_the_inputs(name: str, request: pytest.FixtureRequest) -> None:
    if name in KIND:
        kind = KIND[name]
        layer, x = build(kind, "p4", 4, 4, 3), maps("p4", 4, 6, 6, lifting=kind.lifting)
    else:
        layer, x = ATTENTION[name]().double(), maps("p4", 4, 6, 6)
    expected = computed(layer, x)
    request.getfixturevalue("default_device")
    assert_same(computed(layer, x), expected)


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        (torch.complex64, "give real and imaginary parts as channels"),
        (torch.int64, r"convert it, as with x.float\(\)"),
        (torch.uint8, r"convert it, as with x.float\(\)"),
        (torch.bool, r"convert it, as with x.float\(\)"),
    ],
)
@pytest.mark.parametrize("name", ["full_lifting", "full_group", "input_lifting", "input_group", *ATTENTION])
def test_attention_takes_real_numbers(name: str, dtype: torch.dtype, remedy: str) -> None:
    kind = KIND.get(name)
    layer = ATTENTION[name]() if kind is None else build(kind, "p4", 4, 4, 3)
    x = maps("p4", 4, 6, 6, lifting=kind is not None and kind.lifting).to(dtype)
    for grad in (True, False):
        with (
            torch.set_grad_enabled(grad),
            pytest.raises(ValueError, match=f"takes real floating-point input, got dtype {dtype}; {remedy}"),
        ):
            layer(x)


@pytest.mark.parametrize("kind", [KIND["full_lifting"], KIND["full_group"], KIND["input_group"]])
@pytest.mark.parametrize("bias", [False, True])
def test_autocast_gives_its_dtype(kind, bias: bool) -> None:
    layer = build(kind, "p4", 4, 4, 3, bias=bias).float()
    x = maps("p4", 4, 6, 6, lifting=kind.lifting).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


ONE_VALUE = {
    "channel, planar": (lambda: ag.nn.ChannelAttention("p4", 4, over_group=False, norm="hidden"), (1, 4, 6, 6)),
    "channel, z2": (lambda: ag.nn.ChannelAttention("z2", 4, norm="output"), (1, 4, 1, 6, 6)),
    "bam, planar": (lambda: ag.nn.BAM("p4", 4, 2, over_group=False), (1, 4, 6, 6)),
    "residual": (lambda: ag.nn.ResidualAttention("z2", 4), (1, 4, 1, 2, 2)),
    "norm": (lambda: ag.nn.GroupBatchNorm2d(4), (1, 4, 1, 1, 1)),
}


@pytest.mark.parametrize("name", ONE_VALUE)
def test_a_batch_of_one_under_batch_norm(name: str) -> None:
    make, shape = ONE_VALUE[name]
    layer, x = make(), torch.randn(shape)
    with pytest.raises(ValueError, match=r"more than one value a channel.*; give a batch of two or more, call eval"):
        layer(x)
    assert layer(x.expand(2, *shape[1:])).isfinite().all()
    assert layer.eval()(x).isfinite().all()


def test_a_batch_of_one_is_enough_where_there_are_poses() -> None:
    assert ag.nn.BAM("p4", 4, 2)(torch.randn(1, 4, 4, 6, 6)).isfinite().all()
