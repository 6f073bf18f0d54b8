"""Models by name: lists, options, suggestions."""

import pytest
import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.lookup import find
from attentive_gconv.models import model_entry, register


def test_lists_are_sorted_and_match_patterns():
    names = ag.list_models()
    assert names == sorted(names)
    assert len(names) == 31
    assert ag.list_models("big*") == ["big11_p4cnn", "big15_p4cnn", "big19_p4cnn"]
    assert ag.list_models("P4CNN") == ag.list_models("nothing*") == []


@pytest.mark.parametrize("name", ag.list_models())
def test_entries_are_complete(name):
    entry = model_entry(name)
    assert entry.name == name
    assert entry.parameters > 0
    assert entry.description
    assert len(entry.image_shape) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("p4cn", "unknown model 'p4cn': did you mean 'p4cnn'"),
        ("alpha_p4_cnn", "did you mean 'alpha_p4cnn'"),
        ("qqq", "unknown model 'qqq': Known are .*p4cnn"),
        ("mine", "once the module that registers it is imported"),
        (None, "unknown model None"),
    ],
)
def test_unknown_models_are_refused_with_a_suggestion(name, message):
    for call in (ag.create_model, model_entry):
        with pytest.raises(ValueError, match=message):
            call(name)


@pytest.mark.parametrize("pretrained", [False, True])
def test_unknown_tags_are_refused_with_a_suggestion(pretrained):
    with pytest.raises(
        ValueError, match=r"unknown pretrained model 'p4cnn\.rot_mnst': did you mean 'p4cnn\.rot_mnist'"
    ):
        ag.create_model("p4cnn.rot_mnst", pretrained=pretrained)
    assert ag.create_model("p4cnn.rot_mnist").training


def test_unknown_options_are_refused_with_a_suggestion():
    with pytest.raises(TypeError, match="model 'p4cnn' has no option 'num_class': did you mean 'num_classes'"):
        ag.create_model("p4cnn", num_class=4)
    with pytest.raises(TypeError, match="it has group, attention, channels, num_classes"):
        ag.create_model("p4cnn", zzz=4)


def test_taken_names_are_refused():
    with pytest.raises(ValueError, match="a model named 'p4cnn' is registered already"):
        register("p4cnn", lambda: None, image_shape=(1, 1, 1), num_classes=1)


class Own(nn.Module):
    def __init__(self, group="p4", channels=2, num_classes=10, in_channels=1):
        super().__init__()
        self.lift = ag.nn.LiftingConv2d(group, in_channels, channels, 3)
        self.last = ag.nn.InputAttentiveGroupConv2d(group, channels, num_classes, 3)

    def forward(self, x):
        return self.last(self.lift(x).relu()).amax((-3, -2, -1))


def test_a_network_of_ones_own():
    entry = register("own_p4m", Own, image_shape=(1, 9, 9), num_classes=10, defaults={"group": "p4m"})
    assert entry == model_entry("own_p4m")
    assert ag.list_models("own*") == ["own_p4m"]
    model = ag.create_model("own_p4m", num_classes=3, in_channels=2).double()
    ag.testing.assert_equivariant(model, "p4m", torch.randn(2, 2, 9, 9, dtype=torch.float64))
    assert model(torch.randn(2, 2, 9, 9, dtype=torch.float64)).shape == (2, 3)
    with pytest.raises(TypeError, match="model 'own_p4m' has no option 'chanels': did you mean 'channels'"):
        ag.create_model("own_p4m", chanels=3)
    with pytest.raises(ValueError, match="'own_p4m' is registered already: take another name"):
        register("own_p4m", Own, image_shape=(1, 9, 9), num_classes=10)
    assert model_entry("own_p4m") is entry


def test_a_function_may_take_any_options():
    register("own", lambda **options: Own(**options), image_shape=(1, 9, 9), num_classes=10)
    assert ag.create_model("own", channels=5).lift.out_channels == 5


def test_what_the_defaults_were_made_from_may_change():
    defaults = {"group": "z2"}
    register("own", Own, image_shape=(1, 9, 9), num_classes=10, defaults=defaults)
    defaults["group"] = "p4"
    assert ag.create_model("own").lift.group == ag.group("z2")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": "a/b"}, ValueError, r"`name` \(='a/b'\) must be letters"),
        ({"name": ""}, ValueError, r"`name` \(=''\)"),
        ({"name": None}, ValueError, r"`name` \(=None\)"),
        ({"build": "Own"}, TypeError, r"`build` \(='Own'\) must be a class or function"),
        ({"image_shape": (28, 28)}, ValueError, r"`image_shape` \(=\(28, 28\)\) must be three positive integers"),
        ({"image_shape": (0, 28, 28)}, ValueError, "`image_shape`"),
        ({"num_classes": 0}, ValueError, r"`num_classes` \(=0\) must be an integer of at least 1"),
        ({"defaults": {"chanels": 3}}, TypeError, "has no option 'chanels': did you mean 'channels'"),
    ],
)
def test_what_cannot_be_registered_is_refused(changes, error, message):
    given = {"name": "own", "build": Own, "image_shape": (1, 9, 9), "num_classes": 10, **changes}
    with pytest.raises(error, match=message):
        register(given.pop("name"), given.pop("build"), **given)
    assert ag.list_models("own") == []


def test_defaults_of_an_entry_are_not_changed_by_options():
    before = dict(model_entry("p4cnn").defaults)
    ag.create_model("p4cnn", group="p4m", channels=2)
    assert model_entry("p4cnn").defaults == before
    assert ag.create_model("p4cnn").group == ag.group("p4")


def test_look_up():
    assert find("fruit", "fig", {"apple": 1, "fig": 2}) == 2
    with pytest.raises(ValueError, match=r"unknown fruit 'aple': did you mean 'apple'\? Known are apple, fig"):
        find("fruit", "aple", {"apple": 1, "fig": 2})
    with pytest.raises(ValueError, match="unknown fruit 'x': Known are apple, fig"):
        find("fruit", "x", {"apple": 1, "fig": 2})
