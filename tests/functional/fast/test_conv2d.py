"""Convolution of few channels: `conv2d` in values and gradients, whichever form the gradient of the input takes."""

import pytest
import torch
import torch.nn.functional as F

from attentive_gconv.functional.fast.conv2d import conv2d
from helpers import relative_error

# (input channels, output channels, k, padding, dilation): as a correlation, by columns, and by the library
CASES = [(8, 4, 7, 3, 1), (2, 4, 5, 8, 4), (3, 16, 4, 1, 2), (1, 40, 3, 0, 1), (3, 20, 3, 4, 1), (2, 2, 3, 9, 2)]
OURS = "_FewChannelsBackward"


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients(case, bias):
    inputs, outputs, k, padding, dilation = case
    x = torch.randn(3, inputs, 13, 12, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, inputs, k, k, dtype=torch.float64, requires_grad=True)
    b = torch.randn(outputs, dtype=torch.float64, requires_grad=True) if bias else None
    geometry = ((1, 1), (padding, padding), (dilation, dilation), 1)
    out, expected = (function(x, weight, b, *geometry) for function in (conv2d, F.conv2d))
    assert type(out.grad_fn).__name__ == OURS
    assert relative_error(out, expected) < 1e-12
    grad = torch.randn_like(out)
    wanted = [x, weight, *([b] if b is not None else [])]
    for ours, theirs in zip(*(torch.autograd.grad(y, wanted, grad) for y in (out, expected)), strict=True):
        assert relative_error(ours, theirs) < 1e-12


@pytest.mark.parametrize("case", [(2, 1, 3, 1, 1), (1, 17, 2, 0, 1)], ids=str)
def test_derivatives_of_derivatives(case):
    inputs, outputs, k, padding, dilation = case
    x = torch.randn(1, inputs, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, inputs, k, k, dtype=torch.float64, requires_grad=True)

    def function(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        out = conv2d(x, weight, None, (1, 1), (padding, padding), (dilation, dilation), 1)
        assert not out.requires_grad or type(out.grad_fn).__name__ == OURS
        return out

    assert torch.autograd.gradcheck(function, (x, weight), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, (x, weight))


@pytest.mark.parametrize(
    ("shape", "geometry"),
    [
        ((8, 4, 7, 7), ((2, 2), (3, 3), (1, 1), 1)),
        ((8, 2, 7, 7), ((1, 1), (3, 3), (1, 1), 4)),
        ((40, 40, 3, 3), ((1, 1), (0, 0), (1, 1), 1)),
    ],
)
def test_other_convolutions_are_the_librarys(shape, geometry):
    weight = torch.randn(shape, requires_grad=True)
    x = torch.randn(2, shape[1] * geometry[-1], 9, 9, requires_grad=True)
    out = conv2d(x, weight, None, *geometry)
    assert type(out.grad_fn).__name__ == "ConvolutionBackward0"
    torch.testing.assert_close(out, F.conv2d(x, weight, None, *geometry), rtol=0, atol=0)


def test_without_a_gradient_of_the_input_nothing_is_gained():
    weight = torch.randn(4, 2, 3, 3, requires_grad=True)
    out = conv2d(torch.randn(1, 2, 5, 5), weight, None, (1, 1), (1, 1), (1, 1), 1)
    assert type(out.grad_fn).__name__ == "ConvolutionBackward0"


def test_backward_inside_an_autocast_region_keeps_the_precision_of_forward():
    x, weight = torch.randn(2, 2, 9, 9, requires_grad=True), torch.randn(4, 2, 3, 3, requires_grad=True)
    out = conv2d(x, weight, None, (1, 1), (1, 1), (1, 1), 1)
    assert type(out.grad_fn).__name__ == OURS
    expected = torch.autograd.grad(out.square().sum(), (x, weight), retain_graph=True)
    with torch.autocast("cpu"):
        found = torch.autograd.grad(out.square().sum(), (x, weight))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
