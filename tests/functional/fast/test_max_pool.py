"""Max pooling by maxima of slices, against PyTorch's operator: values, places of gradients, NaN, derivatives."""

import pytest
import torch
import torch.nn.functional as F

from attentive_gconv.functional.fast import max_pool
from attentive_gconv.functional.fast.max_pool import max_pool2d


def pooled(x: torch.Tensor) -> torch.Tensor:
    return max_pool2d(x, (2, 2), (2, 2), (0, 0), False)


def definition(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 2)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The maps that are pooled by slices."""
    seen, original = [], max_pool._maxima
    monkeypatch.setattr(max_pool, "_maxima", lambda x: (seen.append(x), original(x))[1])
    return seen


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_of_ties_and_nan(dtype, layout, taken):
    torch.manual_seed(0)
    # few values, so that every pattern of ties occurs
    x = torch.randint(0, 3, (40, 10, 6, 8)).to(dtype)
    x[torch.rand(x.shape) < 0.1] = torch.nan
    x[torch.rand(x.shape) < 0.1] = -torch.inf
    found = []
    for pool in (pooled, definition):
        leaf = x.clone(memory_format=layout).requires_grad_()
        out = pool(leaf)
        out.backward(torch.arange(out.numel(), dtype=dtype).view_as(out) + 1)
        found.append((out.detach(), leaf.grad))
    assert len(taken) == 1
    torch.testing.assert_close(*found, rtol=0, atol=0, equal_nan=True)
    with torch.no_grad():
        torch.testing.assert_close(pooled(x), definition(x), rtol=0, atol=0, equal_nan=True)
    assert len(taken) == 2


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # by PyTorch's own derivative
def test_second_batched_and_forward_derivatives():
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pooled, (x,), check_batched_grad=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: pooled(x.sin()), (x,))
    torch.testing.assert_close(torch.func.vmap(pooled)(x[None])[0], definition(x))


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (2, 3, 4, 5), (0, 3, 4, 4)])
def test_other_shapes(shape):
    x = torch.randn(shape)
    torch.testing.assert_close(pooled(x), definition(x))


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "ceil_mode"),
    [((3, 3), (2, 2), (1, 1), False), ((2, 2), (1, 1), (0, 0), False), ((2, 2), (2, 2), (1, 1), True)],
)
def test_other_windows_are_those_of_torch(kernel_size, stride, padding, ceil_mode, taken):
    x = torch.randn(2, 3, 6, 6)
    expected = F.max_pool2d(x, kernel_size, stride, padding, ceil_mode=ceil_mode)
    assert torch.equal(max_pool2d(x, kernel_size, stride, padding, ceil_mode), expected)
    assert not taken
