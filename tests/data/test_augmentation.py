import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attentive_gconv.data import InMemoryDataset, load_dataset
from attentive_gconv.data.augmentation import FlipCrop, RandomAugmentation, Rotation
from attentive_gconv.data.rotation import rotate_images
from attentive_gconv.data.sources import LabelledSource, SourceDataset, StoredPixels

SIDE, BORDER = 6, 4
IMAGES = torch.rand(40, 2, SIDE, SIDE)


def all_outcomes(image: torch.Tensor) -> torch.Tensor:
    """Every flip and window of an image on black: [2 * 9 * 9, C, Y, X]."""
    padded = F.pad(image, (BORDER,) * 4)
    places = range(2 * BORDER + 1)
    windows = [padded[:, y : y + SIDE, x : x + SIDE] for y in places for x in places]
    return torch.stack(windows + [window.flip(-1) for window in windows])


def outcome(image: torch.Tensor, changed: torch.Tensor) -> int:
    equal = (all_outcomes(image) == changed).all((1, 2, 3)).nonzero()
    assert len(equal) == 1, "not exactly one window of the image, flipped or not"
    return int(equal)


def test_every_image_becomes_a_window_of_itself_flipped_half_the_time() -> None:
    augment = FlipCrop(len(IMAGES))
    seen = set()
    for seed in range(10):
        augment.draw_from(seed)
        changed = augment(IMAGES, range(len(IMAGES)))
        assert changed.shape == IMAGES.shape
        seen |= {outcome(image, after) for image, after in zip(IMAGES, changed, strict=True)}
    # 400 draws of 162 outcomes: about 148 of them occur; flips and both borders among them
    assert 130 < len(seen) <= 162
    assert 55 < sum(number >= 81 for number in seen) < 81


def test_rotation_turns_every_image_by_an_angle_of_its_own() -> None:
    augment = Rotation(40)
    augment.draw_from(3)
    changed = augment(IMAGES, range(40))
    angles = torch.from_numpy(np.random.RandomState(3).uniform(0, 360, 40))
    torch.testing.assert_close(changed, rotate_images(IMAGES, angles))
    # all quarters of the circle occur
    assert set((angles // 90).int().tolist()) == {0, 1, 2, 3}


def test_in_memory_images_are_turned_on_black() -> None:
    black = -0.5
    dataset = InMemoryDataset(torch.full((3, 1, 9, 9), black), torch.arange(3), augmentation=Rotation(3), black=black)
    dataset.draw_from(0)
    assert torch.equal(dataset[1][0], torch.full((1, 9, 9), black))
    plain, turned = load_dataset("digits"), load_dataset("digits", augmentation="rotation")
    assert (plain.augmentation, turned.augmentation) == ("none", "rotation")
    turned.train.draw_from(0)
    first = turned.train[0][0]
    assert not torch.equal(first, plain.train[0][0])
    # the corners, dark in every digit, stay as dark as the border is
    torch.testing.assert_close(first[0, 0, 0], plain.train[0][0][0, 0, 0])
    for name in ("valid", "test"):
        assert torch.equal(turned.by_name()[name][5][0], plain.by_name()[name][5][0])


@pytest.mark.parametrize("kind", [FlipCrop, Rotation])
def test_what_happens_to_an_image_depends_on_seed_and_position_alone(kind: type[RandomAugmentation]) -> None:
    whole, part = kind(40), kind(40)
    whole.draw_from(7)
    torch.manual_seed(5)
    part.draw_from(7)
    everything = whole(IMAGES, range(40))
    for positions in ([3], [39, 0, 3, 3], [-1, -40]):
        assert torch.equal(part(IMAGES[positions], positions), everything[positions])
    part.draw_from(8)
    assert not torch.equal(part(IMAGES, range(40)), everything)


@pytest.mark.parametrize("kind", [FlipCrop, Rotation])
def test_without_a_seed_every_reading_is_drawn_anew_from_torch(kind: type[RandomAugmentation]) -> None:
    augment = kind(40)
    torch.manual_seed(3)
    first, second = augment(IMAGES, range(40)), augment(IMAGES, range(40))
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(augment(IMAGES, range(40)), first)


@pytest.fixture
def part() -> LabelledSource:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8)).astype(np.uint8))
    return LabelledSource(StoredPixels(pixels), torch.arange(12) % 3)


MEAN, STD = (0.5, 0.25, 0.75), (0.5, 1.0, 2.0)


def test_images_are_standardised_by_channel(part: LabelledSource) -> None:
    dataset = SourceDataset(part, torch.tensor([4, 11, 0]), MEAN, STD)
    assert dataset.labels.tolist() == [1, 2, 0]
    for index, position in enumerate((4, 11, 0)):
        image, label = dataset[index]
        raw = part.images.read([position])[0]
        for channel in range(3):
            torch.testing.assert_close(image[channel], (raw[channel] - MEAN[channel]) / STD[channel])
        assert label == position % 3
        assert type(label) is int
    batch = dataset.__getitems__([2, 0])
    assert [label for _, label in batch] == [0, 1]
    assert torch.equal(batch[0][0], dataset[2][0])
    with pytest.raises(IndexError):
        dataset[3]


def test_black_is_black_before_it_is_standardised(part: LabelledSource) -> None:
    black = LabelledSource(StoredPixels(torch.zeros(4, 3, 8, 8, dtype=torch.uint8)), torch.zeros(4, dtype=torch.int64))
    dataset = SourceDataset(black, None, MEAN, STD, augmentation="flip-crop")
    dataset.draw_from(0)
    plain = SourceDataset(black, None, MEAN, STD)
    assert all(torch.equal(dataset[i][0], plain[i][0]) for i in range(4))


def test_only_what_is_augmented_changes_with_the_draw(part: LabelledSource) -> None:
    plain, augmented = (SourceDataset(part, None, MEAN, STD, augmentation=name) for name in ("none", "flip-crop"))
    before = [plain[0][0], augmented[0][0]]
    for dataset in (plain, augmented):
        dataset.draw_from(1)
    assert torch.equal(plain[0][0], before[0])
    first = torch.stack([augmented[i][0] for i in range(12)])
    assert torch.equal(torch.stack([image for image, _ in augmented.__getitems__(range(12))]), first)
    augmented.draw_from(2)
    assert not torch.equal(torch.stack([augmented[i][0] for i in range(12)]), first)


def test_a_default_device_makes_no_difference() -> None:
    source = StoredPixels(torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8))
    dataset = SourceDataset(
        LabelledSource(source, torch.arange(5)), None, (0.5,) * 3, (0.25,) * 3, augmentation="flip-crop"
    )
    dataset.draw_from(3)
    expected = dataset[4]
    with torch.device("meta"):
        image, label = dataset[4]
    assert torch.equal(image, expected[0])
    assert label == expected[1]
