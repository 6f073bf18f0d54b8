"""The basis in which kernels turn by any angle: turned exactly, permuted exactly, right on smooth images."""

import math

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.functional import filter_basis, kernel_transform, sample_kernel, transform_kernel
from attentive_gconv.functional.ring_filters import ring_frequencies

GROUPS = ["c3", "c8", "c16", "d6", "d8"]


def coefficients_turned(kernel_size: int, matrix: tuple[tuple[float, float], tuple[float, float]]) -> torch.Tensor:
    """What a rotation or mirroring does to the weights: cos mθ and sin mθ go to cos m(±θ - φ) and sin m(±θ - φ)."""
    (a, b), (c, d) = matrix
    mirrored = a * d - b * c < 0
    turn = math.atan2(c, -a if mirrored else a)  # M = mirror^m · rotation by this
    blocks = []
    for _, highest in ring_frequencies(kernel_size):
        blocks.append(torch.ones(1, 1, dtype=torch.float64))
        for m in range(1, highest + 1):
            cosine, sine = math.cos(m * turn), math.sin(m * turn)
            block = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
            # the reversal of y takes θ to -θ
            blocks.append(torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.float64) @ block if mirrored else block)
    return torch.block_diag(*blocks)


@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5, 7, 9])
@pytest.mark.parametrize("name", GROUPS)
def test_kernel_constraint(name, kernel_size):
    """K(g x) = ρ(g) K(x) ρ(g)⁻¹ for every g: turned samples are samples of the function with turned coefficients."""
    group = ag.group(name)
    transform = kernel_transform(group, kernel_size, over_group=True)
    assert transform.basis is not None
    count = len(transform.basis)
    weight = torch.randn(1, 1, group.order, count, dtype=torch.float64)
    kernels = transform_kernel(sample_kernel(weight, transform.basis), transform.index)[0, :, 0]
    for g in range(group.order):
        turned = weight @ coefficients_turned(kernel_size, group.matrices[g]).T
        expected = sample_kernel(turned[..., group.permutation(g), :], transform.basis)
        expected = expected[0, 0, :, :kernel_size]  # by the identity, the first representative
        torch.testing.assert_close(kernels[g], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("over_group", [False, True])
@pytest.mark.parametrize("name", GROUPS)
def test_exact_elements_permute_samples(name, over_group):
    group = ag.group(name)
    for kernel_size in (3, 4):
        transform = kernel_transform(group, kernel_size, over_group=over_group)
        weight = torch.randn(2, 1, *transform.entries, dtype=torch.float64)
        kernels = transform_kernel(sample_kernel(weight, transform.basis), transform.index)
        for k in group.exact_elements:
            for h in range(group.order):
                kernel = kernels[:, h]
                moved = group.act(k, kernel) if over_group else group.act_on_plane(k, kernel)
                assert torch.equal(kernels[:, group.product(k, h)], moved)


def waves(points: torch.Tensor) -> torch.Tensor:
    """A smooth image, a sum of plane waves some eight pixels long, at any points (..., 2)."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(20, 2, generator=generator, dtype=torch.float64)
    phases = 6.28 * torch.rand(20, generator=generator, dtype=torch.float64)
    return torch.cos(0.55 * points @ directions.T + phases).sum(-1)


@pytest.mark.parametrize("kernel_size", [3, 5, 7, 9])
@pytest.mark.parametrize("name", ["c8", "c16", "d8"])
def test_turned_kernels_see_in_turned_images_what_the_unturned_ones_saw(name, kernel_size):
    """The response at the centre, where no map has to be interpolated: L_h ψ ⋆ L_h f = ψ ⋆ f."""
    group, basis = ag.group(name), filter_basis(ag.group(name), kernel_size)
    kernels = basis.unflatten(1, (-1, kernel_size)).flatten(2)  # (P, R, k²)
    line = torch.arange(kernel_size, dtype=torch.float64) - (kernel_size - 1) / 2
    offsets = torch.cartesian_prod(line, line)
    straight = kernels[:, 0] @ waves(offsets)
    for row, h in enumerate(group.representatives):
        matrix = torch.tensor(group.matrices[h], dtype=torch.float64)
        turned = kernels[:, row] @ waves(offsets @ matrix)  # f(M⁻¹t), M⁻¹ = Mᵀ
        assert (turned - straight).norm() / straight.norm() < (0.07 if kernel_size == 3 else 0.05)


def test_permutations_need_no_basis():
    assert all(filter_basis(ag.group(name), 3) is None for name in ("z2", "p4", "p4m", "c2", "d2"))
    assert filter_basis(ag.group("c8"), 1) is None
    for name in ("c8", "d6"):  # without spatial extent every transform is a permutation
        group = ag.group(name)
        transform = kernel_transform(group, over_group=True)
        weight = torch.randn(3, 2, *transform.entries)
        moved = transform_kernel(weight, transform.index)
        for h in range(group.order):
            assert torch.equal(moved[:, h], weight[..., group.permutation(h)])


@pytest.mark.parametrize(("kernel_size", "functions"), [(2, 3), (3, 6), (4, 8), (5, 11), (7, 18), (9, 31)])
def test_number_of_functions_and_their_size(kernel_size, functions):
    basis = filter_basis(ag.group("c8"), kernel_size)
    assert basis.shape == (functions, 2 * kernel_size, kernel_size)
    assert torch.linalg.matrix_rank(basis[:, :kernel_size].flatten(1)) == functions
    # independent weights of variance 1 give samples of variance 1
    assert basis.square().sum(0).mean().item() == pytest.approx(1, rel=1e-12)
