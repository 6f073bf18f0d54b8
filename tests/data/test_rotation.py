import math

import numpy as np
import pytest
import torch

from attentive_gconv.data.rotation import rotate_images, shuffled_and_rotated


def blob(size: int, y: float, x: float, width: float = 1.5) -> torch.Tensor:
    """A smooth spot at (y, x) from the centre, [1, 1, size, size]."""
    axis = torch.arange(size) - (size - 1) / 2
    return torch.exp(-((axis[:, None] - y) ** 2 + (axis[None, :] - x) ** 2) / (2 * width**2))[None, None]


def centroid(image: torch.Tensor) -> tuple[float, float]:
    size = image.shape[-1]
    axis = torch.arange(size) - (size - 1) / 2
    weights = image / image.sum()
    return float((weights.sum(-1) * axis).sum()), float((weights.sum(-2) * axis).sum())


@pytest.mark.parametrize("size", [27, 28])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4, -1])
def test_quarter_turns_are_rot90(size: int, quarters: int) -> None:
    images = torch.rand(3, 2, size, size)
    turned = rotate_images(images, torch.full((3,), 90.0 * quarters))
    torch.testing.assert_close(turned, torch.rot90(images, quarters, (-2, -1)), atol=1e-4, rtol=0)


def test_a_spot_goes_where_the_angle_says() -> None:
    degrees = torch.tensor([0.0, 30.0, 77.0, 133.0, 210.0, 301.0])
    turned = rotate_images(blob(28, 0.0, 6.0).repeat(6, 1, 1, 1), degrees)
    for image, angle in zip(turned[:, 0], torch.deg2rad(degrees), strict=True):
        y, x = centroid(image)
        # y points down, so counter-clockwise to the eye is towards negative y
        assert y == pytest.approx(-6 * math.sin(angle), abs=0.02)
        assert x == pytest.approx(6 * math.cos(angle), abs=0.02)


def test_each_image_has_its_own_angle_and_size_need_not_be_square() -> None:
    images = torch.rand(2, 1, 9, 14)
    turned = rotate_images(images, torch.tensor([0.0, 180.0]))
    torch.testing.assert_close(turned[0], images[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(turned[1], images[1].flip(-2, -1), atol=1e-5, rtol=0)


def test_zeros_come_in_from_outside() -> None:
    turned = rotate_images(torch.ones(1, 1, 28, 28), torch.tensor([45.0]))[0, 0]
    assert turned[0, 0] == turned[-1, 0] == turned[0, -1] == turned[-1, -1] == 0
    assert turned[13:15, 13:15].min() == pytest.approx(1)


def test_the_number_of_threads_does_not_matter() -> None:
    images = torch.randint(0, 256, (2300, 1, 12, 12), dtype=torch.uint8)
    labels = torch.arange(2300) % 10
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(shuffled_and_rotated(images, labels, seed=5)[0])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_the_seed_decides() -> None:
    images, labels = torch.rand(50, 1, 8, 8), torch.arange(50)
    first, again, other = (shuffled_and_rotated(images, labels, seed) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    # numpy promises these numbers for RandomState(3); another stream would silently change every user's dataset
    assert first[1][:6].tolist() == [12, 39, 9, 47, 31, 28]


def test_labels_follow_their_images() -> None:
    # a disc that no rotation changes in the middle, as bright as its label
    labels = torch.arange(40, dtype=torch.uint8)
    images = labels.reshape(-1, 1, 1, 1).repeat(1, 1, 9, 9)
    turned, shuffled = shuffled_and_rotated(images, labels, seed=0, count=25)
    assert turned.shape == (25, 1, 9, 9)
    assert shuffled.dtype == torch.int64
    torch.testing.assert_close(turned[:, 0, 4, 4] * 255, shuffled.float(), atol=1e-3, rtol=0)
    assert len(set(shuffled.tolist())) == 25


def test_angles_are_uniform_over_the_circle() -> None:
    count = 1200
    turned, _ = shuffled_and_rotated(blob(16, 0.0, 4.0).repeat(count, 1, 1, 1), torch.zeros(count), seed=0)
    angles = np.array([math.atan2(*centroid(image)) for image in turned[:, 0]])
    counts, _ = np.histogram(angles, bins=12, range=(-math.pi, math.pi))
    # 100 in each twelfth, standard deviation 9.6
    assert counts.sum() == count
    assert counts.min() > 60
    assert counts.max() < 140
