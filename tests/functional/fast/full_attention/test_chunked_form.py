"""Full attention in chunks of outputs, which is what is exported, against the definition: values, gradients, sizes."""

from itertools import product

import pytest
import torch

from attentive_gconv.functional import COMBINATIONS, FullAttentionWeights
from attentive_gconv.functional.definition.attentive_convolution import attentive_conv2d_definition
from attentive_gconv.functional.fast.full_attention import chunked_form
from attentive_gconv.functional.fast.full_attention.chunked_form import attentive_conv2d_by_chunks

PARTS = [(True, True), (True, False), (False, True)]


def tensors(depth: int, channel: bool, spatial: bool) -> list[torch.Tensor | None]:
    """x, kernel, both matrices of the gate, kernel of the map."""
    x = torch.randn(2, 3, depth, 7, 6, dtype=torch.float64)
    shapes = (5, 4, 3, depth, 3, 3), (5, 4, 2, 3, depth), (5, 4, 3, 2, depth), (5, 4, 2, depth, 5, 5)
    there = (True, channel, channel, spatial)
    drawn = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    kept = [weight if is_there else None for weight, is_there in zip(drawn, there, strict=True)]
    # relu makes all-zero patches, whose maxima tie
    return [x.relu(), *kept]


@pytest.mark.parametrize(("depth", "parts", "combination"), [*product((1, 4), PARTS, COMBINATIONS)])
@pytest.mark.parametrize("budget", [1, 1 << 20, 1 << 40])
def test_values_and_gradients_are_those_of_the_definition(depth, parts, combination, budget):
    given = tensors(depth, *parts)
    options = {
        "stride": (2, 1),
        "padding": (1, 2),
        "dilation": (1, 2),
        "spatial_dilation": 2,
        "scale": 1.3,
        "combination": COMBINATIONS[combination],
    }
    found = []
    for form in (attentive_conv2d_definition, lambda x, w: attentive_conv2d_by_chunks(x, w, budget)):
        leaves = [None if t is None else t.clone().requires_grad_() for t in given]
        out = form(leaves[0], FullAttentionWeights(*leaves[1:], **options))
        out.pow(2).sum().backward()
        found.append([out, *(leaf.grad for leaf in leaves if leaf is not None)])
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-11)


def sizes_of_chunks(budget: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many outputs (o, h) each call of the formulas has."""
    given, seen = tensors(4, True, True), []
    original = chunked_form._attended_sum

    def watched(x, weights, kernel, *gates):
        seen.append(len(kernel))
        return original(x, weights, kernel, *gates)

    monkeypatch.setattr(chunked_form, "_attended_sum", watched)
    attentive_conv2d_by_chunks(given[0], FullAttentionWeights(*given[1:]), budget)
    return seen


def test_chunks_fit_the_budget_and_are_not_too_many(monkeypatch):
    # f~ and the attended f~ of one output and input pose, at 64 images: 3 channels, 5 x 4 positions, 8 bytes
    each = 2 * 64 * 3 * 5 * 4 * 8
    assert sizes_of_chunks(1 << 40, monkeypatch) == [16] * 4 + [4] * 4
    assert sizes_of_chunks(9 * each, monkeypatch) == [8] * 8 + [4] * 4
    assert sizes_of_chunks(3 * each, monkeypatch) == [3] * 24 + [2] * 4
    monkeypatch.setattr(chunked_form, "MOST_CHUNKS", 16)
    assert sizes_of_chunks(1, monkeypatch) == [5] * 16
