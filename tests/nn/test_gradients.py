"""Gradients of every layer in float64, with respect to its input and each of its parameters."""

import pytest
import torch

import attentive_gconv as ag
from helpers import KINDS, build, call, kind_id, maps, open_gates_, randomise_


@pytest.mark.parametrize("name", ["z2", "p4"])
@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
def test_gradcheck(kind, name):
    has_spatial_kernel = not kind.plain and {"spatial", "spatial_kernel_size"}.isdisjoint(kind.options)
    options = {"spatial_kernel_size": 3} if has_spatial_kernel else {}
    layer = build(kind, name, 2, 1, 2, padding=1, stride=2, bias=True, **options)
    x = maps(name, 2, 3, 4, lifting=kind.lifting, batch=1).requires_grad_()
    parameters = dict(layer.named_parameters())
    function = call(layer, list(parameters))
    assert torch.autograd.gradcheck(function, (x, *parameters.values()))
    if kind.plain:
        assert torch.autograd.gradgradcheck(function, (x, *parameters.values()))


@pytest.mark.parametrize(
    "layer",
    [
        randomise_(ag.nn.GroupBatchNorm2d(2, dtype=torch.float64)),
        ag.nn.SpatialMaxPool2d(2),
        ag.nn.SpatialAvgPool2d(2, padding=1),
        ag.nn.GroupMaxPool(),
        ag.nn.GroupMeanPool(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_gradcheck_of_other_layers(layer):
    x = maps("p4", 2, 4, 3).requires_grad_()
    parameters = dict(layer.named_parameters())
    assert torch.autograd.gradcheck(call(layer.eval(), list(parameters)), (x, *parameters.values()))


@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
def test_every_parameter_gets_a_gradient_also_without_one_of_the_input(kind):
    layer = open_gates_(build(kind, "p4m", 3, 2, 3, bias=True))
    layer(maps("p4m", 3, 6, 6, lifting=kind.lifting)).pow(2).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
