"""Features, classifiers and intermediate maps of all networks, under timm's names."""

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.models import FeatureMaps, model_entry
from networks import randomise_norms_

# narrow variants of every family, with the images that they take
NARROW = {
    "rot-mnist": ({"channels": 4}, 28),
    "allcnnc": ({"channels": 4, "ratio": 2}, 16),
    "resnet": ({"channels": (2, 3, 4), "num_blocks": 1}, 16),
    "densenet": ({"channels": 2, "num_blocks": 2}, 20),
    "vgg": ({"channels": (2, 3, 4)}, 16),
}
every = pytest.mark.parametrize("name", ag.list_models())
# one of each family, group and kind of attention
SOME = (
    "z2cnn",
    "alpha_f_p4cnn",
    "alpha_p4cnn",
    "p4m_allcnnc",
    "alpha_f_p4m_resnet44",
    "alpha_f_p4_densenet",
    "p4m_vgg6",
)
some = pytest.mark.parametrize("name", SOME)


def narrow(name, **options):
    entry = model_entry(name)
    arguments, side = NARROW[entry.family]
    images = torch.randn(2, options.get("in_channels", entry.image_shape[0]), side, side, dtype=torch.float64)
    return ag.create_model(name, **{**arguments, **options}).double().eval(), images


@every
def test_logits_are_the_head_of_the_features(name):
    model, images = narrow(name)
    features = model.forward_features(images)
    assert features.shape[:3] == (2, model.num_features, model.group.order)
    assert torch.equal(model.forward_head(features), model(images))
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.num_features)
    without, _ = narrow(name, num_classes=0)
    without.load_state_dict({key: value for key, value in model.state_dict().items() if key in without.state_dict()})
    assert torch.equal(without(images), pooled)


@every
def test_intermediate_maps_are_as_feature_info_says(name):
    model, images = narrow(name)
    last, maps = model.forward_intermediates(images, norm=True)
    assert torch.equal(last, model.forward_features(images))
    assert torch.equal(maps[-1], last)
    assert [map_.shape[1] for map_ in maps] == model.feature_info.channels()
    for map_, reduction in zip(maps, model.feature_info.reduction(), strict=True):
        # convolutions without padding take a few pixels away
        assert images.shape[-1] / reduction - 10 <= map_.shape[-1] <= images.shape[-1] / reduction
    modules = dict(model.named_modules())
    assert all(module in modules for module in model.feature_info.module_name())


@some
def test_features_are_equivariant_and_pooled_features_invariant(name):
    model, images = narrow(name)
    randomise_norms_(model, images)
    for number in range(len(model.feature_info)):
        ag.testing.assert_equivariant(
            lambda x, number=number: model.forward_intermediates(x, [number], intermediates_only=True)[0],
            model.group,
            images,
        )
    ag.testing.assert_equivariant(model.forward_features, model.group, images)
    model.reset_classifier(0)
    ag.testing.assert_equivariant(model, model.group, images)


@some
def test_a_new_classifier(name):
    model, images = narrow(name)
    before = model.forward_features(images)
    model.reset_classifier(7)
    assert model.num_classes == 7
    assert model(images).shape == (2, 7)
    assert not any(part.training for part in model.modules())
    assert torch.equal(model.forward_features(images), before)
    model.reset_classifier(0)
    assert isinstance(model.get_classifier(), torch.nn.Identity)
    model.reset_classifier(3)
    assert model(images).shape == (2, 3)
    fresh, _ = narrow(name, num_classes=3)
    assert list(fresh.state_dict()) == list(model.state_dict())


def test_a_new_classifier_has_the_initial_weights_of_the_network():
    model = ag.create_model("allcnnc")  # drawn from N(0, 0.05²), not from U(-s, s)
    model.reset_classifier(2000)
    assert model.c9.weight.std().item() == pytest.approx(0.05, rel=0.02)


def test_indices():
    model, images = narrow("p4_allcnnc")
    _, every_map = model.forward_intermediates(images)
    for indices, expected in ((1, [2]), (2, [1, 2]), ([0], [0]), ((-1, 0), [0, 2])):
        _, maps = model.forward_intermediates(images, indices)
        assert all(torch.equal(map_, every_map[i]) for map_, i in zip(maps, expected, strict=True))
    early = model.forward_intermediates(images, [0], stop_early=True, intermediates_only=True)
    assert torch.equal(early[0], every_map[0])
    for wrong in (0, 4, [3], [], "0", [True], 1.5):
        with pytest.raises(ValueError, match="`indices`"):
            model.forward_intermediates(images, wrong)


def test_feature_maps_alone():
    model = ag.create_model("p4m_resnet44", features_only=True, out_indices=(0, 2), num_blocks=1, channels=(2, 3, 4))
    assert isinstance(model, FeatureMaps)
    assert (model.feature_info.channels(), model.feature_info.reduction()) == ([2, 4], [1, 4])
    maps = model(torch.randn(1, 3, 16, 16))
    assert [tuple(map_.shape) for map_ in maps] == [(1, 2, 8, 16, 16), (1, 4, 8, 4, 4)]
    assert not [name for name in model.state_dict() if "c_out" in name]
    with pytest.raises(ValueError, match=r"`out_indices` \(=1\) has no meaning without features_only"):
        ag.create_model("p4cnn", out_indices=1)


def test_a_network_without_maps_is_refused():
    ag.models.register("flat", lambda: torch.nn.Flatten(), image_shape=(1, 9, 9), num_classes=81)
    with pytest.raises(TypeError, match="needs a network with forward_intermediates, and Flatten has none"):
        ag.create_model("flat", features_only=True)
