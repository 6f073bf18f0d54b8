"""Poses and full turns: exact where the group says so, measured in between."""

import pytest
import torch
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.visualize.display import Display
from attentive_gconv.visualize.turning import all_poses, disc, equivariance_error, full_turn, turn, turned
from helpers import randomise_


def network(group: str = "p4", attention: str = "input") -> torch.nn.Module:
    model = ag.create_model("p4cnn", group=group, attention=attention, channels=2, num_classes=3).double()
    return randomise_(model).eval()


def image() -> Tensor:
    """Smooth, and dark at the border."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 28), torch.linspace(-1, 1, 28), indexing="ij")
    return (torch.exp(-8 * ((y - 0.2) ** 2 + 3 * (x + 0.1) ** 2)) * 3 - 0.4)[None].double()


def test_every_pose_of_an_equivariant_network_is_explained_alike():
    for group in ("p4", "p4m"):
        poses = all_poses(network(group), image())
        assert poses.group.name == group
        assert poses.differences.abs().max() < 1e-10 * poses.maps.max()
        assert torch.equal(poses.images[1][0], torch.rot90(image()[0]))
        torch.testing.assert_close(poses.outputs, poses.outputs[:1].expand_as(poses.outputs))


def test_a_planar_network_is_measured_against_p4_and_differs():
    poses = all_poses(network("z2"), image())
    assert poses.group.name == "p4"
    assert poses.differences[0].abs().max() == 0
    assert (poses.differences[1:].abs().amax((1, 2)) > 0.01 * poses.maps.max()).all()
    assert all_poses(network("z2"), image(), group="p4m").maps.shape == (8, 28, 28)


@pytest.mark.parametrize("sense", [1, -1])
def test_a_full_turn_is_exact_at_right_angles(sense):
    turn_ = full_turn(network(), image(), steps=8, sense=sense)
    assert turn_.degrees.tolist() == [0, 45, 90, 135, 180, 225, 270, 315]
    assert turn_.errors[::2].max() < 1e-10
    assert turn_.errors[1::2].min() > 1e-6
    assert torch.equal(turn_.images[2][0], torch.rot90(image()[0], sense))


def test_a_planar_network_is_not_exact_at_right_angles():
    assert full_turn(network("z2"), image(), steps=4).errors[1:].min() > 0.01


def test_a_turn_there_and_back():
    smooth = image()
    there = turn(smooth, torch.tensor([30.0, -330.0, 390.0]), torch.tensor([-0.4]).double())
    torch.testing.assert_close(there[0], there[1])
    torch.testing.assert_close(there[0], there[2])
    back = turn(there[0], torch.tensor([330.0]), torch.tensor([-0.4]).double())[0]
    inside = disc(28)
    assert (back - smooth)[0][inside].abs().max() < 0.3
    assert (there[0] - smooth)[0][inside].abs().max() > 0.5
    assert there[0].min() >= smooth.min() - 1e-6, "what comes in is as dark as the border"


def test_the_error_is_in_units_of_the_maps_own_variation():
    reference = torch.randn(28, 28, dtype=torch.float64)
    spread = reference[disc(28)].std(unbiased=False)
    assert equivariance_error(reference, reference, reference) == 0
    torch.testing.assert_close(equivariance_error(reference + spread, reference, reference), torch.ones(()).double())
    outside = reference.clone()
    outside[0, 0] += 100
    assert equivariance_error(outside, reference, reference) == 0


def test_the_disc_is_that_of_all_turns():
    inside = disc(9)
    assert torch.equal(inside, torch.rot90(inside))
    assert inside[4, 1]
    assert not inside[0, 0]


def test_bad_arguments_say_what_to_do():
    for function in (all_poses, full_turn):
        with pytest.raises(ValueError, match="must be square"):
            function(network(), torch.zeros(1, 28, 20))
    with pytest.raises(ValueError, match=r"`steps` \(=3\) must be at least 4"):
        full_turn(network(), image(), steps=3)
    assert turned(network(), image(), torch.tensor([12.0])).errors.shape == (1,)


def test_a_default_device_makes_no_difference():
    model, x = network(), image()
    expected, poses = full_turn(model, x, 8), all_poses(model, x, "c8")
    with torch.device("meta"):
        found, posed = full_turn(model, x, 8), all_poses(model, x, "c8")
        pixels = Display().pixels(x)
        errors = ag.check_equivariance(model, "p4", x[None])
    assert torch.equal(found.errors, expected.errors)
    assert torch.equal(posed.differences, poses.differences)
    assert pixels.shape == tuple(x.shape[1:])
    assert bool((errors < 1e-4).all())
