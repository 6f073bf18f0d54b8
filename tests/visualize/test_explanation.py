"""The maps of whole networks, and their product: they commute with the group, in every family."""

import importlib
import inspect
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.models import VGG, AllCNNC, DenseNet, ResNet, RotMNISTNet
from attentive_gconv.visualize import aggregate
from attentive_gconv.visualize.explanation import resize
from helpers import GROUPS, group_id, open_gates_, relative_error
from networks import randomise_norms_

FAMILIES = {
    "rot-mnist": (partial(RotMNISTNet, channels=2, num_classes=3), (1, 28, 28)),
    "allcnnc": (partial(AllCNNC, channels=2, num_classes=3, ratio=2), (3, 12, 12)),
    "resnet": (partial(ResNet, channels=(2, 2, 3), num_blocks=1, num_classes=3), (3, 8, 8)),
    "densenet": (partial(DenseNet, channels=2, num_blocks=2, num_classes=2), (3, 24, 24)),
    "vgg": (partial(VGG, channels=(2, 3), num_classes=2), (3, 12, 12)),
}
CASES = [
    *((family, group, attention) for family in FAMILIES for group in ("p4", "p4m") for attention in ("full", "input")),
    *(("rot-mnist", "p4m", attention) for attention in ("full_channel", "full_spatial", "co_attention")),
    *(("rot-mnist", "p4m", attention) for attention in ("se", "cbam", "bam", "residual")),
    *((family, "p4m", "none") for family in FAMILIES),
]


def network(family: str, group: str, attention: str, batch: int = 2) -> tuple[nn.Module, Tensor]:
    """A small network in float64 whose maps are far from constant, and images for it."""
    build, shape = FAMILIES[family]
    options = {"ratio": 1} if attention in ("se", "cbam", "bam", "residual") else {}
    model = open_gates_(build(group=group, attention=attention, **options).double())
    for name, parameter in model.named_parameters():
        if "spatial_attention" in name and family == "allcnnc":
            parameter.data *= 300 if attention == "full" else 10  # its initial weights are small
        if name.endswith("weight_fc1") and family == "resnet":
            parameter.data *= 0.1  # its maps grow with depth
    images = torch.randn(batch, *shape, dtype=torch.float64)
    return randomise_norms_(model, torch.cat([images, torch.randn_like(images)])), images


@pytest.mark.parametrize("group", ["p4m", "p4"])
def test_layers_of_several_groups(group):
    model = nn.Sequential(
        ag.nn.AttentiveLiftingConv2d("p4m", 1, 2, 3),
        ag.nn.GroupRestriction("p4m", "p4"),
        ag.nn.AttentiveGroupConv2d("p4", 4, 3, 3),
        ag.nn.GroupMeanPool(),
    ).double()
    image = torch.randn(1, 9, 9, dtype=torch.float64)
    with pytest.raises(ValueError, match="`group` must be given: the layers of the model have several groups, p4, p4m"):
        ag.explain(model, image)
    found = ag.explain(model, image, group=group)
    assert found.poses.shape == (ag.group(group).order, 9, 9)
    maps = [value if len(value) == len(found.poses) else value.mean(0, keepdim=True) for value in found.layers.values()]
    assert [len(value) for value in maps].count(1) == 1
    expected = resize(maps[0][None], (9, 9)) * resize(maps[1][None], (9, 9))
    torch.testing.assert_close(found.poses, expected[0])


@pytest.mark.parametrize("options", [{}, {"parts": False}, {"reduction": "max"}, {"reduction": "none"}])
def test_an_empty_batch_has_empty_maps(options):
    model, images = network("rot-mnist", "p4", "full")
    whole, empty = (ag.attention_maps(model, x, **options) for x in (images, images[:0]))
    assert {name: value.shape[1:] for name, value in empty.items()} == {n: v.shape[1:] for n, v in whole.items()}
    assert all(len(value) == 0 for value in empty.values())


@pytest.mark.parametrize(("family", "group", "attention"), CASES)
def test_maps_commute_with_every_element(family, group, attention):
    """map(L_h x) = L_h map(x), for each layer's maps, and for their product, with its sum and poses."""
    g = ag.group(group)
    model, images = network(family, group, attention)
    straight, explanation = ag.attention_maps(model, images), ag.explain(model, images)
    assert bool(straight) == (attention != "none")
    flat = explanation.poses.flatten(1)
    assert relative_error(flat.amin(1), flat.amax(1)) > 1e-3, "maps are constant, and everything commutes"
    for h in range(g.order):
        moved = ag.testing.act(g, h, images)
        for name, value in ag.attention_maps(model, moved).items():
            assert (value - ag.testing.act(g, h, straight[name])).abs().max() <= 1e-10, (name, h)
        turned = ag.explain(model, moved)
        for name, value in turned.layers.items():
            before = explanation.layers[name]
            expected = g.act(h, before) if before.shape[1] == g.order else g.act_on_plane(h, before)
            assert (value - expected).abs().max() <= 1e-10, (name, h)
        assert relative_error(turned.poses, g.act(h, explanation.poses)) <= 1e-10
        assert relative_error(turned.sum, g.act_on_plane(h, explanation.sum)) <= 1e-10
        assert relative_error(turned.strengths, explanation.strengths[:, g.permutation(h)]) <= 1e-10
        for mine, theirs in zip(turned.dominant_pose.tolist(), explanation.dominant_pose.tolist(), strict=True):
            assert mine == g.product(h, theirs)


@pytest.mark.parametrize("option", [{"reduction": "max"}, {"pose": "output"}, {"reduction": "max", "pose": "output"}])
def test_every_reduction_commutes(option):
    g = ag.group("p4")
    model, images = network("rot-mnist", "p4", "full")
    straight, explanation = ag.attention_maps(model, images, **option), ag.explain(model, images, **option)
    for h in range(g.order):
        moved = ag.testing.act(g, h, images)
        for name, value in ag.attention_maps(model, moved, **option).items():
            assert relative_error(value, ag.testing.act(g, h, straight[name])) <= 1e-10
        assert relative_error(ag.explain(model, moved, **option).poses, g.act(h, explanation.poses)) <= 1e-10


def test_a_planar_network_does_not_commute():
    """The measure can fail: with the trivial group nothing ties the maps of turned images together."""
    model, images = network("rot-mnist", "z2", "input")
    straight, turned = ag.explain(model, images), ag.explain(model, torch.rot90(images, 1, (-2, -1)))
    assert relative_error(turned.sum, torch.rot90(straight.sum, 1, (-2, -1))) > 1e-2


@pytest.mark.parametrize("group", GROUPS, ids=group_id)
@pytest.mark.parametrize("sides", [(4, 28), (5, 28), (13, 32), (1, 9), (12, 7), (30, 24)])
def test_the_resize_commutes_with_every_element(group, sides):
    small, large = sides
    maps = torch.rand(2, group.order, small, small, dtype=torch.float64)
    grown = resize(maps, (large, large))
    for h in range(group.order):
        assert relative_error(resize(group.act(h, maps), (large, large)), group.act(h, grown)) <= 1e-12


def test_aggregate_multiplies_resized_maps():
    a, b = torch.rand(2, 4, 3, 3), torch.rand(2, 1, 6, 6)
    expected = torch.nn.functional.interpolate(a, (6, 6), mode="bilinear") * b
    torch.testing.assert_close(aggregate([a, b], (6, 6), 4), expected)


def test_an_image_is_a_batch_of_one():
    model, images = network("rot-mnist", "p4", "input")
    batch, single = ag.explain(model, images), ag.explain(model, images[1])
    assert single.poses.shape == (4, 28, 28)
    assert single.sum.shape == single.pose_at.shape == (28, 28)
    assert single.output.shape == (3,)
    torch.testing.assert_close(single.poses, batch.poses[1])
    torch.testing.assert_close(single.layers["c3.attention"], batch.layers["c3.attention"][1])
    assert single.dominant_pose == batch.dominant_pose[1]
    torch.testing.assert_close(single.strengths.sum(), torch.ones((), dtype=torch.float64))


def test_layers_are_the_collected_maps():
    model, images = network("rot-mnist", "p4", "full")
    layers, maps = ag.explain(model, images).layers, ag.attention_maps(model, images, parts=False)
    assert list(layers) == list(maps) == [f"c{i}" for i in range(1, 8)]
    for name, value in maps.items():
        torch.testing.assert_close(layers[name], value[:, 0])


def test_activations_of_any_network():
    """Those of a plain network are the rectified inputs of its convolutions; convolutions inside attention are none."""
    model, images = network("rot-mnist", "p4", "none")
    explanation = ag.explain(model, images)
    assert explanation.kind == "activation"
    assert list(explanation.layers) == [f"c{i}" for i in range(2, 8)]
    seen = model.bn1(model.c1(images)).relu().mean(1)
    expected = seen / seen.flatten(1).amax(1).view(-1, 1, 1, 1)
    torch.testing.assert_close(explanation.layers["c2"], expected)
    attentive, images = network("rot-mnist", "p4", "input")
    assert ag.explain(attentive, images).kind == "attention"
    assert list(ag.explain(attentive, images, kind="activation").layers) == [f"c{i}" for i in range(2, 8)]
    planar = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3))
    assert ag.explain(planar, torch.randn(1, 9, 9)).group.name == "z2"
    black = ag.explain(planar, torch.zeros(1, 9, 9), kind="activation")
    assert black.poses.isfinite().all()


def test_explaining_leaves_the_mode_as_it_was():
    model, images = network("rot-mnist", "p4", "input")
    model.train()
    model.bn1.eval()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    ag.explain(model, images)
    assert model.training
    assert not model.bn1.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_bad_arguments_say_what_to_do():
    model, images = network("rot-mnist", "p4", "none")
    with pytest.raises(ValueError, match=r"must be \(C, Y, X\)"):
        ag.explain(model, images[0, 0])
    with pytest.raises(ValueError, match="take kind='activation'"):
        ag.explain(model, images, kind="attention")
    with pytest.raises(ValueError, match="did you mean 'attention'"):
        ag.explain(model, images, kind="atention")
    with pytest.raises(ValueError, match="unknown reduction 'none'"):
        ag.explain(model, images, reduction="none")
    mixed = nn.Sequential(ag.nn.LiftingConv2d("p4", 1, 2, 3), ag.nn.LiftingConv2d("p4m", 1, 2, 3))
    with pytest.raises(ValueError, match="p4, p4m"):
        ag.explain(mixed, images)
    with pytest.raises(ValueError, match="reached no module"):
        ag.explain(nn.Conv2d(1, 1, 3).double(), images)


def test_explain_is_a_plain_function_and_no_module_has_its_name():
    assert inspect.isfunction(ag.explain)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("attentive_gconv.explain")
