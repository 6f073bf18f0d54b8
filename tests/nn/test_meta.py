"""Modules made on the meta device, with weights from a checkpoint: how large models are loaded."""

import pytest
import torch
from torch import nn

import attentive_gconv as ag
from helpers import KIND, build, maps

LAYERS = ["lifting", "group", "full_lifting", "full_group", "input_lifting", "input_group"]


def both_ways(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The output with gradients, without, and the gradients."""
    out = module.eval()(x)
    out.square().sum().backward()
    with torch.no_grad():
        return [out.detach(), module(x), *(p.grad for p in module.parameters())]


@pytest.mark.parametrize("name", ["p4cnn", "alpha_p4cnn", "alpha_f_p4cnn", "alpha_rx_p4cnn", "alpha_f_c8cnn"])
def test_networks_take_the_weights_of_a_checkpoint(name: str) -> None:
    there = ag.create_model(name).double()
    with torch.device("meta"):
        net = ag.create_model(name)
    net.load_state_dict(there.state_dict(), assign=True)
    images = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    for found, expected in zip(both_ways(net, images), both_ways(there, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert {buffer.device.type for buffer in net.buffers()} == {"cpu"}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("way", ["context", "argument", "moved"])
def test_layers_take_the_weights_of_a_checkpoint(name: str, way: str) -> None:
    kind = KIND[name]
    there = build(kind, "p4m", 2, 3, 3)
    if way == "context":
        with torch.device("meta"):
            layer = kind.layer("p4m", 2, 3, 3, **kind.options)
    elif way == "argument":
        layer = kind.layer("p4m", 2, 3, 3, device="meta", **kind.options)
    else:
        layer = build(kind, "p4m", 2, 3, 3).to("meta")
    layer.load_state_dict(there.state_dict(), assign=True)
    layer.float().double()  # the tables, too, can be moved from here
    there.float().double()
    x = maps("p4m", 2, 5, 5, lifting=kind.lifting)
    for found, expected in zip(both_ways(layer, x), both_ways(there, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


DENSE = {
    "restriction": lambda: ag.nn.GroupRestriction("p4m", "p4"),
    "transposed": lambda: ag.nn.GroupConvTranspose2d("p4m", 2, 3, 2, stride=2),
    "blurred": lambda: ag.nn.SpatialBlurPool2d(3),
    "adaptive": lambda: ag.nn.SpatialAdaptiveAvgPool2d(3),
    "norm": lambda: ag.nn.GroupInstanceNorm2d(2, affine=True),
}


@pytest.mark.parametrize("name", DENSE)
def test_layers_of_dense_prediction_take_them(name: str) -> None:
    there = DENSE[name]()
    with torch.device("meta"):
        layer = DENSE[name]()
    layer.load_state_dict(there.state_dict(), assign=True)
    x = maps("p4m", 2, 6, 6).float()
    torch.testing.assert_close(layer(x), there(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", LAYERS)
def test_compiled_layers_take_them_too(name: str) -> None:
    kind = KIND[name]
    there, x = build(kind, "p4", 2, 3, 3), maps("p4", 2, 5, 5, lifting=kind.lifting)
    with torch.device("meta"):
        layer = kind.layer("p4", 2, 3, 3, **kind.options)
    layer.load_state_dict(there.state_dict(), assign=True)
    torch.compiler.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), there(x), rtol=1e-10, atol=1e-12)
