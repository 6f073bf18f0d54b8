"""Max pooling by maxima of slices, against PyTorch's operator: values, NaN, and where it is not taken."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from attentive_gconv.functional.fast.max_pool import max_pool2d


def pooled(x: torch.Tensor) -> torch.Tensor:
    return max_pool2d(x, (2, 2), (2, 2), (0, 0), False)


@pytest.fixture
def by_torch(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The maps that PyTorch's operator pools."""
    seen, original = [], F.max_pool2d
    monkeypatch.setattr(F, "max_pool2d", lambda x, *args, **named: (seen.append(x), original(x, *args, **named))[1])
    return seen


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_with_ties_infinities_and_nan(dtype, layout, by_torch):
    torch.manual_seed(0)
    x = torch.randint(0, 3, (40, 10, 6, 8)).to(dtype)
    x[torch.rand(x.shape) < 0.1] = torch.nan
    x[torch.rand(x.shape) < 0.1] = -torch.inf
    x = x.contiguous(memory_format=layout)
    found = pooled(x)
    assert not by_torch
    torch.testing.assert_close(found, F.max_pool2d(x, 2), rtol=0, atol=0, equal_nan=True)


def test_with_gradients_and_under_transforms_it_is_that_of_torch(by_torch):
    x = torch.randn(2, 3, 4, 6)
    pooled(x.clone().requires_grad_())
    torch.func.vmap(pooled)(x[None])
    with FlopCounterMode(display=False):
        pooled(x)
    assert len(by_torch) == 3
    with torch.no_grad():
        pooled(x.clone().requires_grad_())
    assert len(by_torch) == 3


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (2, 3, 4, 5), (0, 3, 4, 4)])
def test_other_shapes(shape):
    x = torch.randn(shape)
    assert torch.equal(pooled(x), F.max_pool2d(x, 2))


@pytest.mark.parametrize(
    ("kernel_size", "stride", "padding", "ceil_mode"),
    [((3, 3), (2, 2), (1, 1), False), ((2, 2), (1, 1), (0, 0), False), ((2, 2), (2, 2), (1, 1), True)],
)
def test_other_windows_are_those_of_torch(kernel_size, stride, padding, ceil_mode):
    x = torch.randn(2, 3, 6, 6)
    expected = F.max_pool2d(x, kernel_size, stride, padding, ceil_mode=ceil_mode)
    assert torch.equal(max_pool2d(x, kernel_size, stride, padding, ceil_mode), expected)
