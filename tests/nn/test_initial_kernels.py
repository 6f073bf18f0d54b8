"""Initial kernels: the paper's on the pixel grid, balanced over angular frequencies beyond it."""

import math

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.functional import kernel_transform
from attentive_gconv.functional.ring_filters import ring_frequencies
from attentive_gconv.nn.initial_kernels import initial_kernel_, wave_variances


def draw(group: ag.FiniteGroup, kernel_size: int, count: int, *, over_group: bool) -> torch.Tensor:
    entries = kernel_transform(group, kernel_size, over_group=over_group).entries
    weight = torch.empty(count, 1, *entries, dtype=torch.float64)
    return initial_kernel_(weight, group, 1, kernel_size, 1.0, over_group=over_group)


@pytest.mark.parametrize(("group", "kernel_size"), [("z2", 3), ("p4", 3), ("p4m", 5), ("d2", 3), ("c8", 1)])
def test_where_kernels_are_permuted_every_weight_is_drawn_alone(group, kernel_size):
    torch.manual_seed(0)
    layer = ag.nn.GroupConv2d(group, 3, 2, kernel_size)
    torch.manual_seed(0)
    bound = 1 / (3 * kernel_size**2) ** 0.5
    assert torch.equal(layer.weight, torch.empty_like(layer.weight).uniform_(-bound, bound))


@pytest.mark.parametrize("over_group", [False, True])
@pytest.mark.parametrize("kernel_size", [3, 4, 7])
@pytest.mark.parametrize("name", ["c3", "c8", "d6"])
def test_mean_variance(name, kernel_size, over_group):
    weight = draw(ag.group(name), kernel_size, 3000, over_group=over_group)
    assert weight.var().item() == pytest.approx(1 / (3 * kernel_size**2), rel=0.05)


def turned_back(weight: torch.Tensor, angle: float, kernel_size: int) -> torch.Tensor:
    """The weights of the kernel turned by an angle: cos mθ and sin mθ go to cos m(θ - φ) and sin m(θ - φ)."""
    turned, at = weight.clone(), 0
    for _, highest in ring_frequencies(kernel_size):
        for m in range(1, highest + 1):
            a, b = weight[..., at + 2 * m - 1], weight[..., at + 2 * m]
            cosine, sine = math.cos(m * angle), math.sin(m * angle)
            turned[..., at + 2 * m - 1], turned[..., at + 2 * m] = cosine * a - sine * b, sine * a + cosine * b
        at += 1 + 2 * highest
    return turned


@pytest.mark.parametrize(("name", "kernel_size"), [("c8", 3), ("c8", 5), ("c5", 4), ("d6", 5)])
def test_every_input_frequency_has_the_same_share_of_every_output_frequency(name, kernel_size):
    """The kernel as a matrix of output by input poses, K(h, h') = (L_h ψ)(h'), seen by its Fourier transform."""
    group = ag.group(name)
    count = int(name[1:])
    weight = draw(group, kernel_size, 4000, over_group=True)[:, 0]
    frequency = [min(f, count - f) for f in range(count)]
    for first in range(0, group.order, count):  # inputs that are rotations, and inputs that are mirrorings
        rows = [
            turned_back(weight[:, group.permutation(h)], 2 * math.pi * h / count, kernel_size)[:, first : first + count]
            for h in range(count)
        ]
        power = torch.fft.fft2(torch.stack(rows, 1), dim=(1, 2)).abs().square().sum(3).mean(0)
        energy = torch.zeros(count, count, dtype=torch.float64)  # by |l| and |j|
        for out, row in enumerate(power.tolist()):
            for j, value in enumerate(row):
                energy[frequency[out], frequency[j]] += value
        per_output = energy.sum(1) / torch.tensor([frequency.count(f) or 1 for f in range(count)])
        for out in set(frequency):
            shares = energy[out][energy[out] > 1e-9 * energy.max()]
            assert len(shares) > 1
            torch.testing.assert_close(shares, shares.mean().expand_as(shares), rtol=0.08, atol=0)
            assert per_output[out].item() == pytest.approx(per_output[0].item(), rel=0.08)


def test_waves_that_keep_their_frequency_are_weakened():
    """They are the most: of eight poses those at 3 make 10 of the 22 waves to 3."""
    variances = wave_variances(8, 5, over_group=True)
    assert variances[3, 0].item() == variances[3, 2].item() == pytest.approx(0.25 / (10 / 22))
    assert variances[0].min() > 1
    assert (wave_variances(8, 1, over_group=True) == 1).all()


def test_lifting_has_one_input_frequency():
    weight = draw(ag.group("c8"), 3, 20_000, over_group=False)[:, 0]
    power = weight.square().mean(0) * 27
    # one constant on each of two rings; cosine and sine of m = 1 and of m = 2 on the outer ring
    torch.testing.assert_close(power, torch.tensor([0.6, 0.6, 1.2, 1.2, 1.2, 1.2]).double(), rtol=0.05, atol=0)


@pytest.mark.parametrize("name", ["c8", "d6"])
def test_the_order_of_the_elements_does_not_matter(name):
    group = ag.group(name)
    order = [0, *reversed(range(1, group.order))]
    shuffled = ag.FiniteGroup("shuffled", [group.matrices[h] for h in order], interpolate=True)
    plain = torch.empty(2, 2, group.order, 6, dtype=torch.float64)
    other = torch.empty(2, 2, group.order, 6, dtype=torch.float64)
    torch.manual_seed(0)
    drawn = plain.uniform_(-1, 1).clone()

    def draw_same(weight: torch.Tensor, values: torch.Tensor, of: ag.FiniteGroup) -> torch.Tensor:
        weight.uniform_ = lambda low, high: weight.copy_(values)
        return initial_kernel_(weight, of, 2, 3, 1.0, over_group=True)

    a = draw_same(plain, drawn, group)
    b = draw_same(other, drawn[:, :, order], shuffled)
    torch.testing.assert_close(b, a[:, :, order])
    assert not torch.allclose(a, drawn)


@pytest.mark.parametrize("layer", [ag.nn.LiftingConv2d, ag.nn.GroupConv2d, ag.nn.AttentiveGroupConv2d])
def test_any_precision_and_the_meta_device(layer):
    half = layer("c8", 4, 4, 3, dtype=torch.bfloat16)
    assert half.weight.isfinite().all()
    assert 0.3 < half.weight.float().std().item() * (3 * 4 * 9) ** 0.5 < 2
    assert layer("c8", 4, 4, 3, device="meta").weight.is_meta
    with torch.device("meta"):
        assert layer("c8", 4, 4, 3).weight.is_meta
