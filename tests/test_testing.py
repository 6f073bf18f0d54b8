"""The checks themselves: they measure what they say, catch what is broken and leave the module as it was."""

import pytest
import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.testing import TOLERANCE, assert_equivariant, check_equivariance
from helpers import GROUPS, KIND, PM, build, group_id, maps, randomise_

PM_Y = ag.FiniteGroup("pm_y", [((1, 0), (0, 1)), ((-1, 0), (0, 1))])
PLANAR = torch.randn(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("group", GROUPS, ids=group_id)
def test_one_error_for_each_element(group):
    errors = check_equivariance(build(KIND["lifting"], group, 3, 2, 3), group, PLANAR)
    assert errors.shape == (group.order,)
    assert errors.dtype == torch.float64
    assert errors[0] == 0
    assert errors.max() < 1e-10


def test_error_is_relative_to_the_largest_expected_value():
    """Φ(x) = 100 everywhere but 101 in the first row: half a turn leaves a difference of 1 in 101."""

    def constant(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.full_like(x[..., :1, :], 101), torch.full_like(x[..., 1:, :], 100)], -2)

    errors = check_equivariance(constant, "p4m", PLANAR)
    moved = torch.tensor([0, 1, 1, 1, 1, 1, 0, 1], dtype=torch.float64)  # a half turn and a flip undo each other
    torch.testing.assert_close(errors, moved / 101, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("module", "group"),
    [
        (lambda x: x * torch.arange(6.0), "p4"),  # position
        (lambda x: x.flip(-1), "p4m"),  # reflects, but does not commute with rotations
        (lambda x: x.cumsum(-1), PM),
        (lambda x: x.flatten(1), "p4"),
        (lambda x: x[..., 0, 0], "p4"),
        (lambda x: x.unsqueeze(2).expand(-1, -1, 4, -1, -1) * torch.arange(4.0).view(4, 1, 1), "p4"),  # pose
        (nn.Conv2d(3, 3, 3, padding=1, dtype=torch.float64), "p4"),
    ],
)
def test_what_is_not_equivariant_is_caught(module, group):
    assert check_equivariance(module, group, PLANAR).max() > 1e-2
    with pytest.raises(AssertionError, match="not equivariant to"):
        assert_equivariant(module, group, PLANAR)


def test_maps_on_the_group_must_permute_the_group_axis():
    f = maps("p4", 3, 5, 5)
    assert_equivariant(lambda f: f.relu(), "p4", f)
    assert check_equivariance(lambda f: f.roll(1, 2), "p4", f).max() < 1e-10  # right translation commutes with left
    assert check_equivariance(lambda f: f.flip(2), "p4", f).max() > 1e-2
    assert check_equivariance(lambda f: f.roll(1, 2), "p4m", maps("p4m", 3, 5, 5)).max() > 1e-2


def test_message_names_element_error_and_tolerance():
    with pytest.raises(AssertionError) as error:
        assert_equivariant(lambda x: x.cumsum(-2), "p4m", PLANAR)
    message = str(error.value)
    assert "not equivariant to 'p4m': element " in message
    assert "tolerance 1.0e-10 for torch.float64" in message
    for name in ("0°: 0.0e+00", "90°: ", "m·270°: ", "2 x 2 on an odd side", "docs/explanation/equivariance.md"):
        assert name in message


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_tolerance_follows_the_dtype(dtype):
    tolerance = TOLERANCE[dtype]

    def tilted(x: torch.Tensor, by: float) -> torch.Tensor:
        out = torch.ones(1, 1, 2, 1, dtype=torch.float64)
        out[..., 1, :] += by
        return out

    x = torch.ones(1, 1, 2, 1, dtype=dtype)
    assert_equivariant(lambda x: tilted(x, 0.5 * tolerance), PM_Y, x)
    with pytest.raises(AssertionError):
        assert_equivariant(lambda x: tilted(x, 2 * tolerance), PM_Y, x)
    assert_equivariant(lambda x: tilted(x, 2 * tolerance), PM_Y, x, tolerance=3 * tolerance)


def test_tolerance_of_other_dtypes_must_be_given():
    x = torch.arange(36).view(1, 1, 6, 6)
    with pytest.raises(TypeError, match=r"x has dtype torch\.int64.*give `tolerance`"):
        assert_equivariant(lambda x: x, "p4", x)
    assert_equivariant(lambda x: 2 * x, "p4", x, tolerance=0.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_caught(value):
    errors = check_equivariance(lambda x: x + value, "p4", PLANAR)
    assert errors.isinf().all()
    with pytest.raises(AssertionError):
        assert_equivariant(lambda x: x + value, "p4", PLANAR)


def test_outputs_of_another_shape_are_caught():
    layer = build(KIND["lifting"], "p4", 3, 2, 3, stride=(1, 2))
    errors = check_equivariance(layer, "p4", PLANAR)
    assert errors.isinf().tolist() == [False, True, False, True]


def test_outputs_that_vanish_are_no_division_by_zero():
    assert check_equivariance(torch.zeros_like, "p4", PLANAR).tolist() == [0, 0, 0, 0]


def test_module_is_left_as_it_was():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), build(KIND["lifting"], "p4", 3, 2, 3)).double()
    randomise_(model)
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert_equivariant(model, "p4", PLANAR)  # in eval mode: neither dropout nor new statistics
    assert [part.training for part in model] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_mode_is_restored_after_an_error():
    model = nn.Sequential(build(KIND["lifting"], "p4", 2, 2, 3))
    with pytest.raises(ValueError, match="takes a planar map"):
        check_equivariance(model, "p4", PLANAR)
    assert model.training
    assert model[0].training


@pytest.mark.parametrize("shape", [(3, 6, 6), (6, 6), (2, 3), (1, 1, 1, 1, 6, 6)])
def test_inputs_that_are_no_batch_of_maps_are_refused(shape):
    """L_h would leave (C, Y, X) as it is, and everything would pass."""
    with pytest.raises(ValueError, match=r"x must be \(B, C, Y, X\) or .* got shape .*; add the batch axis"):
        check_equivariance(lambda x: x.cumsum(-1), "p4", torch.randn(shape))


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="the module must return one tensor, got tuple; wrap it"):
        check_equivariance(lambda x: (x, x), "p4", PLANAR)
    with pytest.raises(ValueError, match="unknown group 'p5'"):
        check_equivariance(nn.Identity(), "p5", PLANAR)
    with pytest.raises(ValueError, match=r"\|H\|=4 for group 'p4'"):
        check_equivariance(nn.Identity(), "p4", maps("p4m", 1, 4, 4))


class TestApproximateElements:
    LINE = torch.arange(21, dtype=torch.float64)
    IMAGE = torch.exp(-((LINE[:, None] - 10) ** 2 + (LINE - 7) ** 2) / 8)[None, None]

    def test_they_are_reported_apart(self):
        layer = build(KIND["lifting"], "c8", 1, 2, 5)
        errors = check_equivariance(layer, "c8", self.IMAGE, approximate_tolerance=0.1)
        assert type(errors.exact) is type(errors.max()) is torch.Tensor
        assert (errors.exact.shape, errors.approximate.shape) == ((4,), (4,))
        assert torch.equal(errors[::2].as_subclass(torch.Tensor), errors.exact)
        assert errors.exact.max() < 1e-10 < 1e-4 < errors.approximate.max() < 0.1
        assert errors.passed
        exact, approximate = errors.report().splitlines()
        assert exact.startswith("exact elements 0°, 90°, 180°, 270°: largest error ")
        assert exact.endswith("tolerance 1.0e-10: passed")
        assert approximate.startswith("approximate elements 45°, 135°, 225°, 315°: largest error ")
        assert approximate.endswith("tolerance 1.0e-01: passed")

    def test_each_kind_has_its_tolerance(self):
        layer = build(KIND["lifting"], "c8", 1, 2, 5)
        for tolerances, passed in (
            ((None, 0.1), True),
            ((None, 1e-6), False),
            ((0.0, 0.1), False),
            ((1e-9, None), False),
        ):
            assert check_equivariance(layer, "c8", self.IMAGE, *tolerances).passed == passed
        assert_equivariant(layer, "c8", self.IMAGE, approximate_tolerance=0.1)
        assert_equivariant(layer, "c8", self.IMAGE, approximate_tolerance=float("inf"))
        with pytest.raises(AssertionError, match=r"approximate element [1357] \(\d+°\) has .* tolerance 1\.0e-06"):
            assert_equivariant(layer, "c8", self.IMAGE, approximate_tolerance=1e-6)
        with pytest.raises(AssertionError, match=r"'c8': element [2467] \("):
            assert_equivariant(lambda x: x.cumsum(-1), "c8", self.IMAGE, approximate_tolerance=float("inf"))

    def test_none_passes_without_a_tolerance(self):
        with pytest.raises(ValueError, match=r"has elements that interpolate.*give `approximate_tolerance`, or check"):
            assert_equivariant(nn.Identity(), "c8", self.IMAGE)
        assert check_equivariance(nn.Identity(), "c8", self.IMAGE).report().endswith("no tolerance given")

    def test_what_is_not_finite_does_not_pass(self):
        errors = check_equivariance(lambda x: x + float("nan"), "c8", self.IMAGE, approximate_tolerance=1e9)
        assert errors.isinf().all()
        assert not errors.passed
