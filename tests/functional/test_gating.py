"""Statistics and combination rules."""

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv import functional as G


def test_statistics_over_positions_and_channels():
    f = torch.randn(2, 3, 4, 5, 6)
    mean, peak = G.position_statistics(f)
    torch.testing.assert_close(mean, f.mean((-2, -1)))
    assert torch.equal(peak, f.amax((-2, -1)))
    both = G.channel_statistics(f, dim=1)
    torch.testing.assert_close(both, torch.stack([f.mean(1), f.amax(1)], 1))
    assert torch.equal(G.channel_statistics(f, dim=1, kinds=("max",)), f.amax(1, keepdim=True))


def test_unknown_statistics_are_refused():
    for call in (lambda f: G.position_statistics(f, ("min",)), lambda f: G.channel_statistics(f, 1, ("min",))):
        with pytest.raises(ValueError, match="unknown statistic 'min'"):
            call(torch.ones(1, 2, 2))


def test_gradient_of_tied_maxima_goes_to_the_first():
    f = torch.zeros(1, 2, 2, 2, requires_grad=True)
    G.position_statistics(f, ("max",))[0].sum().backward()
    assert f.grad.flatten(-2).tolist() == [[[1, 0, 0, 0], [1, 0, 0, 0]]]
    f.grad = None
    G.channel_statistics(f, 1, ("max",)).sum().backward()
    assert f.grad[0, 0].eq(1).all()
    assert f.grad[0, 1].eq(0).all()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (G.SUPPRESS, lambda f, a: (1 - a) * f),
        (G.MULTIPLY, lambda f, a: a * f),
        (G.AMPLIFY, lambda f, a: (1 + a) * f),
        (G.Combination(0.0, 2.0), lambda f, a: 2 * a * f),
        (G.Combination(3.0, -0.5), lambda f, a: 3 * f - 0.5 * a * f),
    ],
)
def test_combinations(rule, expected):
    f, alpha = torch.randn(3, 4, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64)
    torch.testing.assert_close(rule.mix(f, alpha * f), expected(f, alpha))


def test_named_combinations():
    assert {"suppress": G.SUPPRESS, "multiply": G.MULTIPLY, "amplify": G.AMPLIFY} == G.COMBINATIONS
    for name, rule in G.COMBINATIONS.items():
        layer = ag.nn.InputAttention("p4", 2, spatial=False, combination=name)
        x = torch.randn(1, 2, 4, 3, 3)
        torch.testing.assert_close(layer(x), rule.mix(x, layer.channel_attention(x) * x))
