import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from attentive_gconv.nn import Dropout
from attentive_gconv.nn.dropout import random_mask


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 2**-16])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_masks_have_two_values_whose_mean_is_one(p, dtype):
    dropped = round(p * 2**16) / 2**16
    mask = random_mask(torch.empty(3, 5, 4, dtype=dtype), p)
    assert mask.dtype == dtype
    assert set(mask.flatten().tolist()) <= {0.0, torch.tensor(1 / (1 - dropped), dtype=dtype).item()}
    assert abs(dropped - p) <= 2**-17


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_entries_are_dropped_independently_and_as_often_as_asked(p):
    torch.manual_seed(0)
    zeros = (random_mask(torch.empty(2**20), p) == 0).double()
    # six standard deviations of a mean of 2^20 (2^18) Bernoulli variables
    assert abs(zeros.mean() - p) < 6 * (p * (1 - p) / 2**20) ** 0.5
    for offset in (1, 2, 3, 4):
        both = (zeros[:-offset] * zeros[offset:]).mean()
        assert abs(both - p**2) < 6 * (p**2 * (1 - p**2) / 2**18) ** 0.5


def test_the_seed_decides_and_eval_is_the_identity():
    layer, x = Dropout(0.3), torch.randn(4, 3, 4, 5, 5)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(layer(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(layer.eval()(x), x)


def test_gradients_are_those_of_the_mask():
    layer, x = Dropout(0.5), torch.randn(200, requires_grad=True)
    out = layer(x)
    out.sum().backward()
    assert torch.equal(x.grad, 2.0 * (out != 0))


def test_probabilities_at_the_ends():
    x = torch.ones(50)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(50))
    with pytest.raises(ValueError, match=r"`p` \(=1\.5\) must be at least 0 and at most 1"):
        Dropout(1.5)


def test_other_forms_take_torchs_own_masks():
    x = torch.ones(64)
    torch.manual_seed(0)
    wanted = nn.functional.dropout(x, 0.5, True)
    torch.manual_seed(0)
    assert torch.equal(Dropout(0.5, inplace=True)(x.clone()), wanted)
    vmapped = torch.func.vmap(Dropout(0.5), randomness="different")(torch.ones(8, 64))
    assert set(vmapped.flatten().tolist()) == {0.0, 2.0}
    with FlopCounterMode(display=False):
        torch.manual_seed(0)
        assert torch.equal(Dropout(0.5)(x), wanted)
    compiled = torch.compile(Dropout(0.5), backend="eager", fullgraph=True)
    assert set(compiled(x).tolist()) <= {0.0, 2.0}


def test_masks_of_cpu_tensors_under_another_default_device():
    x = torch.ones(64)
    with torch.device("meta"):
        out = Dropout(0.5)(x)
    assert out.device == x.device
    assert set(out.tolist()) == {0.0, 2.0}
