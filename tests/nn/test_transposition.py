"""A network with transposed kernels gives to an image what it gave to the transposed image."""

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import attentive_gconv as ag
from attentive_gconv.models.blocks import ATTENTION
from attentive_gconv.nn.transposition import transposed_beside_weights
from helpers import PM
from networks import randomise_norms_


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("group", ["z2", "p4", "p4m"])
def test_logits_of_every_kind_of_attention(group, attention):
    model = ag.create_model("p4cnn", group=group, attention=attention, channels=2).double()
    images = torch.randn(3, 1, 28, 28, dtype=torch.float64)
    randomise_norms_(model, images)
    before, other = model(images.mT), model(images)
    torch.testing.assert_close(ag.nn.transpose_kernels_(model)(images), before, rtol=1e-11, atol=1e-11)
    # p4m holds the transposition: its networks do not tell the two apart
    assert torch.allclose(before, other, rtol=1e-6) == (group == "p4m")
    torch.testing.assert_close(ag.nn.transpose_kernels_(model)(images), other, rtol=0, atol=0)


@pytest.mark.parametrize("attention", ["none", "full", "input"])
@pytest.mark.parametrize("group", ["c8", "d6"])
def test_kernels_on_rings_are_transposed_too(group, attention):
    model = ag.create_model("c8cnn", group=group, attention=attention, channels=2).double()
    images = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    randomise_norms_(model, images)
    before = model(images.mT)
    torch.testing.assert_close(ag.nn.transpose_kernels_(model)(images), before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("group", ["p4", "p4m"])
def test_maps_are_transposed_and_their_poses_conjugated(group):
    group = ag.group(group)
    conjugate = [
        next(i for i, m in enumerate(group.matrices) if m == ((d, c), (b, a))) for (a, b), (c, d) in group.matrices
    ]
    layer = nn.Sequential(ag.nn.LiftingConv2d(group, 1, 2, 3), ag.nn.GroupConv2d(group, 2, 3, 2)).double()
    x = torch.randn(1, 1, 7, 9, dtype=torch.float64)
    before = layer(x.mT)
    after = ag.nn.transpose_kernels_(layer)(x)
    torch.testing.assert_close(after, before.mT[:, :, conjugate])


def test_unequal_strides_and_paddings_are_exchanged():
    layer = ag.nn.LiftingConv2d("z2", 2, 3, 3, stride=(1, 2), padding=(2, 0), dilation=(1, 2)).double()
    pool = ag.nn.SpatialMaxPool2d((1, 2))
    planar = nn.Conv2d(2, 2, 3, padding=(0, 1), stride=(2, 1)).double()
    x = torch.randn(1, 2, 12, 9, dtype=torch.float64)
    for module in (nn.Sequential(layer, pool), planar):
        before = module(x.mT)
        torch.testing.assert_close(ag.nn.transpose_kernels_(module)(x), before.mT)


@pytest.mark.parametrize(("group", "subgroup"), [("p4m", "p4"), ("p4m", "z2"), ("d6", "c3")])
def test_restrictions_to_a_subgroup(group, subgroup):
    cosets = ag.group(group).order // ag.group(subgroup).order
    model = nn.Sequential(
        ag.nn.LiftingConv2d(group, 1, 2, 3),
        ag.nn.GroupRestriction(group, subgroup),
        ag.nn.GroupConv2d(subgroup, 2 * cosets, 3, 3),
        ag.nn.GroupMaxPool(),
    ).double()
    x = torch.randn(1, 1, 9, 9, dtype=torch.float64)
    before, other = model(x.mT), model(x)
    torch.testing.assert_close(ag.nn.transpose_kernels_(model)(x), before.mT, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ag.nn.transpose_kernels_(model)(x), other, rtol=1e-9, atol=1e-9)


def test_unequal_sizes_of_pools_and_upsampling_are_exchanged():
    model = nn.Sequential(ag.nn.SpatialAdaptiveAvgPool2d((6, 4)), ag.nn.SpatialUpsample2d((2, 1)), nn.Upsample((5, 7)))
    x = torch.randn(1, 2, 12, 9, dtype=torch.float64)
    before = model(x.mT)
    torch.testing.assert_close(ag.nn.transpose_kernels_(model)(x), before.mT)


def test_what_a_state_dict_does_not_hold_is_named():
    pool, restriction = ag.nn.SpatialMaxPool2d((1, 2)), ag.nn.GroupRestriction("p4m", "p4")
    model = nn.Sequential(ag.nn.LiftingConv2d("p4m", 1, 2, 3), restriction, pool, ag.nn.GroupRestriction("p4m", "z2"))
    assert transposed_beside_weights(model) == ["1", "2", "3"]
    assert transposed_beside_weights(ag.create_model("alpha_p4cnn")) == []


@pytest.mark.parametrize("layer", [lambda: ag.nn.LiftingConv2d("p4", 1, 2, 3), lambda: nn.Conv2d(1, 2, 3)])
def test_pruned_kernels_are_refused(layer):
    pruned = prune.l1_unstructured(layer(), "weight", 0.5)
    with pytest.raises(ValueError, match=r"'weight' of \w+ is no parameter.*: make it permanent first"):
        ag.nn.transpose_kernels_(pruned)


def test_tied_weights_are_transposed_once():
    first, second = nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3)
    second.weight = first.weight
    model = nn.Sequential(first, second).double()
    x = torch.randn(1, 2, 12, 9, dtype=torch.float64)
    before = model(x.mT)
    torch.testing.assert_close(ag.nn.transpose_kernels_(model)(x), before.mT)


@pytest.mark.parametrize("name", ag.list_pretrained())
def test_shipped_networks_take_upright_images(name):
    from attentive_gconv.checkpoints.pretrained import load_shipped
    from attentive_gconv.checkpoints.weights import load_weights
    from attentive_gconv.models.shipped_cards import pretrained_file

    stored = load_weights(pretrained_file(name))
    upright = load_shipped(name)
    images = torch.randn(4, 1, 28, 28, dtype=torch.float64)
    given = images.mT if stored.card.transposed else images
    expected = stored.module.double()(given)
    torch.testing.assert_close(upright.module.double()(images), expected, rtol=1e-11, atol=1e-11)
    assert not upright.card.transposed


def test_upright_digits_are_recognised():
    """The test digits of `digits`, upright, without a thought about axes, by a network that carries over to them."""
    from attentive_gconv.data import load_dataset

    splits = load_dataset("digits")
    pixels = splits.test.images * splits.std[0] + splits.mean[0]
    model, transform = ag.create_model("alpha_p4cnn", pretrained=True), ag.models.transform("alpha_p4cnn")
    with torch.no_grad():
        upright, transposed = (
            float((model(transform(x)).argmax(1) == splits.test.labels).float().mean()) for x in (pixels, pixels.mT)
        )
    assert upright > 0.55 > 0.35 > transposed


def test_groups_and_layers_that_cannot_be_transposed_are_refused_whole():
    model = nn.Sequential(ag.nn.LiftingConv2d("p4", 1, 2, 3), ag.nn.GroupConv2d(PM, 2, 2, 3))
    weight = model[0].weight.clone()
    with pytest.raises(ValueError, match="group 'pm' does not contain the conjugates"):
        ag.nn.transpose_kernels_(model)
    with pytest.raises(ValueError, match="Conv3d has weights with spatial axes, weight, whose"):
        ag.nn.transpose_kernels_(nn.Sequential(model[0], nn.Conv3d(2, 2, 3)))
    assert torch.equal(model[0].weight, weight)
    ag.nn.transpose_kernels_(nn.Conv3d(2, 2, 1))
