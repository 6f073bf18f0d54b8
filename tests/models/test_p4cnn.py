"""The ten networks of the rotated-MNIST experiments: exact sizes, structure, equivariance, initial weights."""

import math

import pytest
import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.models import model_entry
from helpers import P2MM, PM, open_gates_, relative_error
from networks import randomise_norms_

PARAMETERS = {
    "z2cnn": 21_620,
    "p4cnn": 24_610,
    "big11_p4cnn": 29_051,
    "big15_p4cnn": 50_415,
    "big19_p4cnn": 77_539,
    "alpha_p4cnn": 73_130,
    "alpha_ch_p4cnn": 48_630,
    "alpha_sp_p4cnn": 49_110,
    "alpha_f_p4cnn": 29_462,
    "alpha_rx_p4cnn": 24_851,
}
CHANNELS = {"z2cnn": 20, "big11_p4cnn": 11, "big15_p4cnn": 15, "big19_p4cnn": 19}
IMAGES = (2, 1, 28, 28)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count(name):
    model = ag.create_model(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    entry = model_entry(name)
    assert entry.parameters == PARAMETERS[name]
    assert (entry.family, entry.image_shape, entry.num_classes) == ("rot-mnist", (1, 28, 28), 10)
    assert model(torch.randn(IMAGES)).shape == (2, 10)


@pytest.mark.parametrize("name", PARAMETERS)
def test_equivariance_in_a_random_state(name):
    """Random weights, statistics and affine parameters, all elements; the logits do depend on the image."""
    images = torch.randn(IMAGES, dtype=torch.float64)
    model = randomise_norms_(ag.create_model(name).double(), images)
    ag.testing.assert_equivariant(model, model.group, images)
    with torch.no_grad():
        logits = model(images)
    assert relative_error(logits[:1], logits[1:]) > 0.05


@pytest.mark.parametrize("attention", ["none", "full", "input", "co_attention"])
@pytest.mark.parametrize("group", ["p4m", PM, P2MM], ids=str)
def test_any_group_makes_a_network(group, attention):
    images = torch.randn(IMAGES, dtype=torch.float64)
    model = randomise_norms_(ag.create_model("p4cnn", group=group, attention=attention, channels=3).double(), images)
    ag.testing.assert_equivariant(model, group, images)


def test_network_without_rotations_is_caught():
    images = torch.randn(IMAGES, dtype=torch.float64)
    model = randomise_norms_(ag.create_model("z2cnn").double(), images)
    assert ag.check_equivariance(model, "p4", images)[1:].min() > 0.05


@pytest.mark.parametrize("name", PARAMETERS)
def test_layers_are_those_of_the_paper(name):
    model = ag.create_model(name)
    channels, kernels = CHANNELS.get(name, 10), [3, 3, 3, 3, 3, 3, 4]
    for i, kernel_size in enumerate(kernels, 1):
        layer = model.get_submodule(f"c{i}")
        assert (layer.in_channels, layer.out_channels) == (1 if i == 1 else channels, 10 if i == 7 else channels)
        assert (layer.kernel_size, layer.stride, layer.padding, layer.bias) == (kernel_size, (1, 1), (0, 0), None)
        spatial = getattr(getattr(layer, "attention", layer), "spatial_attention", None)
        if spatial is not None:
            dilation = spatial.dilation if isinstance(spatial.dilation, int) else spatial.dilation[0]
            assert spatial.weight.shape[-1] == (1 if name == "alpha_rx_p4cnn" else 7)
            assert dilation == (4 if (name, i) == ("alpha_f_p4cnn", 1) else 1)
    norms = [part for part in model.modules() if isinstance(part, ag.nn.GroupBatchNorm2d)]
    assert [norm.eps for norm in norms] == [2e-5] * 6
    assert model.dropout.p == 0.3


def test_forward_is_the_chain_of_the_paper():
    """c1 bn relu drop, c2 bn relu pool, c3 … c6 bn relu drop, c7, maximum over the group."""
    x = images = torch.randn(IMAGES, dtype=torch.float64)
    model = randomise_norms_(ag.create_model("alpha_f_p4cnn").double(), images)
    for i in range(1, 7):
        x = torch.relu(model.get_submodule(f"bn{i}")(model.get_submodule(f"c{i}")(x)))
        if i == 2:
            x = nn.functional.max_pool3d(x, (1, 2, 2))
    torch.testing.assert_close(model(images), model.c7(x)[..., 0, 0].max(2).values)


def test_dropout_is_where_the_paper_has_it():
    model, calls = ag.create_model("p4cnn"), []
    model.dropout.register_forward_hook(lambda module, args, out: calls.append(out.shape[-1]))
    model(torch.randn(IMAGES))
    assert calls == [26, 10, 8, 6, 4]  # the sides of its maps: after c1 and c3 to c6, not after c2


def test_initial_weights():
    planar, turning = ag.create_model("z2cnn"), ag.create_model("big19_p4cnn")
    for model in (planar, turning):
        for i in range(2, 7):
            weight = model.get_submodule(f"c{i}").weight
            if model is planar:  # N(0, 1 / fan_in)
                assert weight.std().item() == pytest.approx(1 / math.sqrt(20 * 9), rel=0.1)
                assert weight.abs().max() > 2.5 / math.sqrt(20 * 9)
            else:  # U(-s, s), s = 1 / √(C·k²)
                assert 0.95 / math.sqrt(19 * 9) < weight.abs().max() <= 1 / math.sqrt(19 * 9)


def test_options():
    model = ag.create_model("alpha_f_p4cnn", num_classes=4, in_channels=3, channels=6, dropout=0.0, ratio=3)
    assert model(torch.randn(2, 3, 28, 28)).shape == (2, 4)
    assert model.c2.attention.channel_attention.weight_fc1.shape == (2, 6, 4)
    assert ag.create_model("alpha_f_p4cnn", first_dilation=2).c1.attention.spatial_attention.dilation == (2, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, r"`channels` \(=0\) must be an integer of at least 1"),
        ({"num_classes": -1}, r"`num_classes` \(=-1\) must be an integer of at least 0"),
        ({"in_channels": -1}, r"`in_channels` \(=-1\) must be an integer of at least 1"),
        ({"dropout": 1.0}, r"`dropout` \(=1\.0\) must be at least 0 and below 1"),
        ({"dropout": float("nan")}, r"`dropout` \(=nan\) must be"),
        ({"attention": "ful"}, "unknown attention 'ful': did you mean 'full'"),
        ({"group": "p5"}, "unknown group 'p5': did you mean 'c5'"),
        ({"attention": "full", "ratio": 11}, r"`ratio` \(=11\) must not exceed the number of channels \(=10\)"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ag.create_model("p4cnn", **options)


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (2, 1, 28, 27), (1, 28, 28), (28, 28)])
def test_images_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"take images \(B, C, 28, 28\), got .*; resize them") as error:
        ag.create_model("p4cnn")(torch.zeros(shape))
    assert str(shape) in str(error.value)


def test_images_with_other_channels_are_refused():
    with pytest.raises(ValueError, match=r"takes a planar map \(B, 1, Y, X\), got shape \(2, 3, 28, 28\)"):
        ag.create_model("p4cnn")(torch.zeros(2, 3, 28, 28))


@pytest.mark.parametrize("name", ["p4cnn", "alpha_f_p4cnn"])
def test_export(name):
    """torch.export takes the plain modules as they are."""
    model, images = ag.create_model(name).eval(), torch.randn(IMAGES)
    program = torch.export.export(model, (images,))
    torch.testing.assert_close(program.module()(images), model(images))


@pytest.mark.parametrize("name", PARAMETERS)
def test_training_step_changes_every_parameter(name):
    model = open_gates_(ag.create_model(name, dropout=0.0))
    before = {key: value.clone() for key, value in model.named_parameters()}
    loss = nn.functional.cross_entropy(model(torch.randn(4, 1, 28, 28)), torch.tensor([1, 2, 3, 4]))
    loss.backward()
    torch.optim.Adam(model.parameters(), lr=1e-2).step()
    unchanged = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    assert unchanged == []
