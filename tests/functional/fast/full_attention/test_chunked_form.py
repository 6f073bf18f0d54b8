"""Full attention in chunks of outputs, which is what is exported, against the definition: values, gradients, sizes."""

from itertools import product

import pytest
import torch

from attentive_gconv.functional import COMBINATIONS, FullAttentionWeights, attentive_conv2d
from attentive_gconv.functional.definition.attentive_convolution import attentive_conv2d_definition
from attentive_gconv.functional.fast.full_attention import chunked_form
from attentive_gconv.functional.fast.full_attention.chunked_form import attentive_conv2d_by_chunks

OPTIONS = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "spatial_dilation": 2, "scale": 1.3}
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
    options = OPTIONS | {"combination": COMBINATIONS[combination]}
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

    def watched(x, batch, weights, parts):
        seen.append(len(parts[0]))
        return original(x, batch, weights, parts)

    monkeypatch.setattr(chunked_form, "_attended_sum", watched)
    attentive_conv2d_by_chunks(given[0], FullAttentionWeights(*given[1:]), budget)
    return seen


def test_chunks_are_equal_and_small_but_not_too_many(monkeypatch):
    # f~ and the attended f~ of one output and input pose, at 64 images: 3 channels, 5 x 4 positions, 8 bytes
    each = 2 * 64 * 3 * 5 * 4 * 8
    assert sizes_of_chunks(1, monkeypatch) == [7] * 12  # 20 outputs in three chunks of up to 8, and a zero
    monkeypatch.setattr(chunked_form, "VECTOR", 2)
    assert sizes_of_chunks(1, monkeypatch) == [2] * 40
    # 8 copies for 4 poses, or as many as the budget asks for, in a loop
    monkeypatch.setattr(chunked_form, "MOST_COPIES", 8)
    assert sizes_of_chunks(1, monkeypatch) == [10] * 8
    with chunked_form.full_attention_as_loops():
        assert chunked_form._number_of_chunks(20, 4, each, budget=10 * each) == 2
        assert chunked_form._number_of_chunks(20, 4, each, budget=9 * each) == 3
        assert chunked_form._number_of_chunks(20, 4, each, budget=1) == 10


class Attentive(torch.nn.Module):
    """Full attention with the weights of `tensors`, which is in chunks when it is exported."""

    def __init__(self, weights: list[torch.Tensor | None]) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList([w for w in weights if w is not None])
        self.there = [w is not None for w in weights]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = iter(self.weights)
        given = FullAttentionWeights(*(next(weights) if there else None for there in self.there), **OPTIONS)
        return attentive_conv2d(x, given, memory_budget=1)


@pytest.mark.parametrize(
    ("depth", "parts", "many_channels"), [(2, PARTS[0], 2), (2, PARTS[1], 64), (2, PARTS[2], 64), (1, PARTS[0], 64)]
)
def test_an_exported_loop_gives_the_values_of_the_definition_for_every_batch(depth, parts, many_channels, monkeypatch):
    monkeypatch.setattr(chunked_form, "MANY_CHANNELS", many_channels)
    monkeypatch.setattr(chunked_form, "MOST_COPIES", 2)
    x, *weights = tensors(depth, *parts)
    layer = Attentive(weights)
    with chunked_form.full_attention_as_loops():
        program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    assert [str(node.target) for node in program.graph.nodes].count("scan") == 1
    for batch in (2, 5, 1, 0):
        images = torch.randn(batch, *x.shape[1:], dtype=x.dtype)
        expected = attentive_conv2d_definition(images, FullAttentionWeights(*weights, **OPTIONS))
        torch.testing.assert_close(program.module()(images), expected, rtol=1e-12, atol=1e-12)


def test_a_loop_for_a_fixed_batch_and_strict_export(monkeypatch):
    monkeypatch.setattr(chunked_form, "MOST_COPIES", 2)
    x, *weights = tensors(2, False, True)
    layer = Attentive(weights)
    expected = layer(x)
    with chunked_form.full_attention_as_loops():
        fixed = torch.export.export(layer, (x,))
    strict = torch.export.export(layer, (x,), strict=True)
    for program in (fixed, strict):
        torch.testing.assert_close(program.module()(x), expected, rtol=1e-12, atol=1e-12)
