"""Gradients with ``create_graph=True`` are those without: weights that are used twice, hooks, a bias alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "irreps": lambda: ag.nn.GroupConv2d("p4", 2, 2, 3, padding=1, bias=True, dtype=torch.float64),
    "input attention": lambda: ag.nn.InputAttention("p4", 2, kernel_size=3, dtype=torch.float64),
    "full attention": lambda: ag.nn.AttentiveGroupConv2d("p4", 2, 2, 3, padding=1, dtype=torch.float64),
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> nn.Module:
    made = LAYERS[request.param]()
    ag.nn.configure_convolution(made, conv="irreps")
    return made


def gradients(out: Tensor, inputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Without and with a graph of their own."""
    loss = out.square().sum()
    plain = torch.autograd.grad(loss, inputs, retain_graph=True)
    return list(plain), list(torch.autograd.grad(loss, inputs, create_graph=True))


def test_a_layer_that_is_used_three_times(layer: nn.Module) -> None:
    x = torch.randn(2, 2, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    plain, graphed = gradients(layer(layer(layer(x))), [x, *layer.parameters()])
    for one, other in zip(plain, graphed, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)
    assert graphed[0].requires_grad


def test_full_attention_with_the_same_weights_twice() -> None:
    kernel, psi = (torch.randn(2, 4, 2, 4, k, k, dtype=torch.float64, requires_grad=True) for k in (1, 3))
    weights = ag.functional.FullAttentionWeights(kernel, spatial_kernel=psi)
    x = torch.randn(1, 2, 4, 5, 5, dtype=torch.float64)
    out = ag.functional.attentive_conv2d(ag.functional.attentive_conv2d(x, weights), weights)
    plain, graphed = gradients(out, [kernel, psi])
    for one, other in zip(plain, graphed, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)


def test_hooks_of_the_input_run_once(layer: nn.Module) -> None:
    leaf = torch.randn(2, 2, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    x = leaf * 1
    x.register_hook(lambda grad: 2 * grad)
    plain, graphed = gradients(layer(x), [leaf])
    torch.testing.assert_close(graphed, plain, rtol=1e-9, atol=1e-12)


def test_a_bias_alone_is_trained() -> None:
    layer = LAYERS["irreps"]()
    ag.nn.configure_convolution(layer, conv="irreps")
    layer.weight.requires_grad_(False)
    plain, graphed = gradients(layer(torch.randn(1, 2, 4, 6, 6, dtype=torch.float64)), [layer.bias])
    torch.testing.assert_close(graphed, plain)


@pytest.mark.parametrize("graph", [False, True])
def test_backward_inside_an_autocast_region_keeps_the_precision_of_forward(layer: nn.Module, graph: bool) -> None:
    layer.float()
    inputs = [torch.randn(2, 2, 4, 9, 9, requires_grad=True), *layer.parameters()]
    loss = layer(inputs[0]).square().sum()
    plain = torch.autograd.grad(loss, inputs, retain_graph=True)
    with torch.autocast("cpu"):
        found = torch.autograd.grad(loss, inputs, create_graph=graph)
    for one, other in zip(plain, found, strict=True):
        assert other.dtype == one.dtype
        assert (other - one).abs().max() <= 1e-5 * one.abs().max()


@pytest.mark.parametrize("budget", [1, *range(1024, 9216, 1024), 1 << 20])
def test_the_torch_backend_in_tiles_of_any_size(budget: int) -> None:
    kernel, psi = (torch.randn(1, 4, 2, 4, k, k, dtype=torch.float64, requires_grad=True) for k in (1, 3))
    weights = ag.functional.FullAttentionWeights(kernel, spatial_kernel=psi)
    x = torch.randn(1, 2, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    definition = ag.functional.attentive_conv2d(x, weights, method="definition")
    found = ag.functional.attentive_conv2d(x, weights, backend="torch", memory_budget=budget)
    torch.testing.assert_close(found, definition, rtol=1e-10, atol=1e-12)
    for one, other in zip(
        *(torch.autograd.grad(y.square().sum(), [x, kernel, psi]) for y in (found, definition)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
