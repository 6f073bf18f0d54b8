"""Models by name: lists, options, suggestions."""

import pytest

import attentive_gconv as ag
from attentive_gconv.lookup import find
from attentive_gconv.models import model_entry
from attentive_gconv.models.registry import ModelEntry, register


def test_lists_are_sorted_and_match_patterns():
    names = ag.list_models()
    assert names == sorted(names)
    assert len(names) == 26
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
        (None, "unknown model None"),
    ],
)
def test_unknown_models_are_refused_with_a_suggestion(name, message):
    for call in (ag.create_model, model_entry):
        with pytest.raises(ValueError, match=message):
            call(name)


def test_unknown_options_are_refused_with_a_suggestion():
    with pytest.raises(TypeError, match="model 'p4cnn' has no option 'num_class': did you mean 'num_classes'"):
        ag.create_model("p4cnn", num_class=4)
    with pytest.raises(TypeError, match="it has group, attention, channels, num_classes"):
        ag.create_model("p4cnn", zzz=4)


def test_taken_names_are_refused():
    with pytest.raises(ValueError, match="a model named 'p4cnn' is registered already"):
        register(ModelEntry("p4cnn", "mine", lambda: None, {}, (1, 1, 1), 1, 1, "mine"))


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
