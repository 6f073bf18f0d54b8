"""The paper's networks with every kind of attention: `create_model(..., attention=KIND)`."""

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.models.blocks import ATTENTION
from attentive_gconv.nn.attention import BAM, CBAM, ResidualAttention, SqueezeExcite

PUBLISHED = {"se": SqueezeExcite, "cbam": CBAM, "bam": BAM, "residual": ResidualAttention}


@pytest.mark.parametrize("kind", ATTENTION)
def test_every_kind_makes_an_invariant_classifier(kind):
    model = ag.create_model("p4cnn", attention=kind, channels=4, num_classes=3).double()
    images = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    assert model(images).shape == (2, 3)
    ag.testing.assert_equivariant(model, "p4", images)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_attention_is_on_the_input_of_each_convolution(kind):
    model = ag.create_model("alpha_f_p4cnn", attention=kind)
    for i in range(1, 8):
        layer = getattr(model, f"c{i}")
        assert type(layer.attention) is PUBLISHED[kind]
        x = torch.randn(1, 1, 9, 9) if i == 1 else torch.randn(1, 10, 4, 9, 9)
        torch.testing.assert_close(layer.eval()(x), layer.convolution(layer.attention(x)))


def test_options_of_the_networks_reach_the_published_attention():
    model = ag.create_model("alpha_f_p4cnn", attention="cbam", ratio=5, first_dilation=4)
    assert model.c1.attention.spatial_attention.dilation == (4, 4)
    assert model.c2.attention.spatial_attention.dilation == (1, 1)
    assert model.c2.attention.channel_attention.hidden == 2
    assert ag.create_model("p4m_resnet44", attention="se").c1.attention.channel_attention.hidden == 3


@pytest.mark.parametrize(
    ("kind", "parameters"),
    # p4cnn's 24,610, and in c1 (C = 1) and in each of c2 to c7 (C = 10, ratio 2):
    [
        ("se", 24_610 + 2 + 6 * 2 * 10 * 5 * 4),
        ("cbam", 24_610 + (2 + 98) + 6 * (2 * 10 * 5 * 4 + 2 * 4 * 49)),
        ("co_attention", 24_610 + 1 + 6 * 10 * 4),
    ],
)
def test_parameters_are_those_of_the_parts(kind, parameters):
    model = ag.create_model("p4cnn", attention=kind)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("name", ["p4m_allcnnc", "p4m_resnet44", "p4_densenet"])
@pytest.mark.parametrize("kind", PUBLISHED)
def test_other_families_carry_them_too(name, kind):
    model = ag.create_model(name, attention=kind)
    kinds = [module for module in model.modules() if type(module) is PUBLISHED[kind]]
    plain = [
        module
        for module in ag.create_model(name).modules()
        if isinstance(module, ag.nn.LiftingConv2d | ag.nn.GroupConv2d)
    ]
    assert len(kinds) == len(plain)


def test_unknown_kinds_are_refused_with_a_suggestion():
    with pytest.raises(ValueError, match=r"unknown attention 'cbm': did you mean 'cbam'"):
        ag.create_model("p4cnn", attention="cbm")
