"""Equivariance over the angle, beside escnn's layers of the same size; goldens by benchmarks/escnn_angles.py."""

from pathlib import Path

import numpy as np
import pytest
import torch

import any_angle
import filter_bases

GOLDEN = Path(__file__).parents[1] / "goldens" / "escnn_angles.npz"


def errors_of(maps: torch.Tensor, angles: list[float]) -> list[float]:
    """E at each angle from the maps at each angle, the first at 0°."""
    of_angle = dict(zip(angles, maps[:, None], strict=True))
    image_at = lambda angle: torch.tensor(angle)
    return any_angle.error(lambda angle: of_angle[float(angle)], image_at, angles)


def test_a_layer_is_no_worse_than_escnns_of_the_same_size():
    """As many weights and channels, the same images, at an angle of the group and one between."""
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        angles = arrays["angles"].tolist()
        theirs = {order: errors_of(torch.from_numpy(arrays[f"c{order}"]).double(), angles) for order in (8, 16)}
    for order, errors in theirs.items():
        image_at = lambda angle: any_angle.spots(angle, 1)
        ours = np.mean([any_angle.error(any_angle.modules(order, i)["layer"], image_at, angles) for i in (0, 1)], 0)
        assert errors[0] < 1e-6
        assert ours[0] == 0
        for angle, mine, other in zip(angles[1:], ours[1:], errors[1:], strict=True):
            if angle % (360 / order) == 0:
                assert mine < other


def test_quarter_turns_are_exact_and_finer_groups_better():
    angles, image_at = [22.5, 45.0, 90.0], lambda angle: any_angle.spots(angle, 1)
    curves = {order: any_angle.error(any_angle.modules(order, 0)["network"], image_at, angles) for order in (4, 8)}
    for curve in curves.values():
        assert curve[2] < 1e-12
    assert curves[8][1] < 0.3 * curves[4][1]
    kept = any_angle.modules(8, 0)["attention"]
    assert any_angle.error(kept, image_at, [90.0, 45.0])[0] < 1e-12


def test_curves_are_drawn(tmp_path):
    curve = {"angles": [0.0, 90.0], "errors": [0.0, 0.1]}
    rows = [
        {"group": "c8", "module": module, "images": images, **curve, **library}
        for module in ("layer", "network", "attention")
        for images in ("smooth", "digits")
        for library in ({}, {"library": "escnn"})
    ]
    any_angle.draw(rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize("kernel_size", [4, 5, 7, 9])
def test_the_librarys_kernels_turn_best_on_rough_maps(kernel_size):
    errors = {
        name: filter_bases.error(kernels, kernel_size, filter_bases.smooth(0.7))
        for name, kernels in filter_bases.candidates(kernel_size).items()
    }
    assert min(errors, key=errors.__getitem__) == "optimal"


def test_the_closed_form_is_the_error_on_images():
    """The error by the autocorrelation, beside that on many random images of this autocorrelation."""
    straight, turned = filter_bases.optimal(3)
    grid, matrix = filter_bases.offsets(3), torch.tensor(filter_bases.TURN, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(20_000, 2, generator=generator, dtype=torch.float64) / 1.5
    phases = 6.283185307 * torch.rand(20_000, 1, generator=generator, dtype=torch.float64)
    before = torch.cos(waves @ grid.T + phases) @ straight
    after = torch.cos(waves @ (grid @ matrix).T + phases) @ turned  # the turned image at t is f at M⁻¹t
    measured = (after - before).square().sum().sqrt() / before.square().sum().sqrt()
    expected = filter_bases.error((straight, turned), 3, filter_bases.smooth(1.5))
    assert float(measured) == pytest.approx(expected, rel=0.05)
