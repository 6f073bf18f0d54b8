"""Irreducible representations, the Fourier transform of a group, orbits of offsets, for every group of the grid."""

import itertools

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.functional.irreps import fourier_matrix, fourier_rows, orbit_index, real_irreps
from grid_groups import GRID_GROUPS, TABLED, group_id

TOLERANCE = 1e-14


def left_translation(group: ag.FiniteGroup, g: int) -> torch.Tensor:
    """The matrix of (L_g f)(s) = f(g⁻¹s)."""
    return torch.eye(group.order, dtype=torch.float64)[group.permutation(g)]


@pytest.mark.parametrize("group", GRID_GROUPS, ids=group_id)
class TestIrreps:
    def test_they_are_representations(self, group):
        for irrep in real_irreps(group):
            matrices = torch.tensor(irrep.matrices)
            for i, j in itertools.product(range(group.order), repeat=2):
                assert torch.equal(matrices[i] @ matrices[j], matrices[group.product(i, j)])
            identity = torch.eye(irrep.dimension, dtype=torch.int64)
            assert torch.equal(matrices[0], identity)
            assert all(torch.equal(m @ m.t(), identity) for m in matrices)

    def test_they_are_irreducible_and_different(self, group):
        irreps = real_irreps(group)
        characters = torch.tensor([irrep.character for irrep in irreps])
        products = characters @ characters.t()
        # over the real numbers: 1 for a real representation, 2 for a complex one with its conjugate
        norms = torch.tensor([group.order * irrep.dimension // irrep.rows for irrep in irreps])
        assert torch.equal(products, torch.diag(norms))
        assert irreps[0].matrices == (((1,),),) * group.order

    def test_the_transform_is_orthogonal(self, group):
        transform = fourier_matrix(group)
        assert (transform @ transform.t() - torch.eye(group.order)).abs().max() < TOLERANCE

    def test_plancherel(self, group):
        f, h = torch.randn(2, group.order, dtype=torch.float64)
        transform = fourier_matrix(group)
        assert abs((transform @ f) @ (transform @ h) - f @ h) < TOLERANCE

    def test_translations_become_block_diagonal(self, group):
        """L_g acts on f̂(ρ) by ρ(g), from the left: on the row index a, alike for every k."""
        transform, rows, irreps = fourier_matrix(group), fourier_rows(group), real_irreps(group)
        for g in range(group.order):
            moved = transform @ left_translation(group, g) @ transform.t()
            for (r, (i, a, k)), (s, (j, b, m)) in itertools.product(enumerate(rows), repeat=2):
                if i != j:
                    assert abs(moved[r, s]) < TOLERANCE
                elif irreps[i].rows == irreps[i].dimension:
                    expected = irreps[i].matrices[g][a][b] if k == m else 0
                    assert abs(moved[r, s] - expected) < TOLERANCE

    def test_correlation_becomes_products(self, group):
        """out(g) = Σ_s a(s)·w(g⁻¹s) is out̂(ρ) = â(ρ)·ŵ(ρ), ŵ(ρ) = Σ_u w(u)·ρ(u)ᵀ."""
        a, w = torch.randn(2, group.order, dtype=torch.float64)
        out = torch.stack([a @ w[group.permutation(g)] for g in range(group.order)])
        for irrep in real_irreps(group):
            rho = torch.tensor(irrep.matrices, dtype=torch.float64)
            left, right = torch.einsum("s,sak->ak", a, rho), torch.einsum("u,ubk->kb", w, rho)
            torch.testing.assert_close(torch.einsum("g,gab->ab", out, rho), left @ right, rtol=0, atol=1e-13)

    @pytest.mark.parametrize("k", range(1, 6))
    def test_orbits_are_moved_as_planes_are(self, group, k):
        orbit = orbit_index(group, k)
        numbers = torch.arange(k * k).view(k, k)
        assert torch.equal(orbit[:, 0], numbers.flatten())
        for s in range(group.order):
            # what stood at t stands at M_s t afterwards
            moved = group.act_on_plane(s, numbers).flatten()
            assert torch.equal(moved[orbit[:, s]], numbers.flatten())


@pytest.mark.parametrize(("name", "multiplications"), [("p4", 6), ("p4m", 12), ("pmm", 4), ("p2", 2), ("cm", 2)])
def test_multiplications_of_one_output_channel_and_orbit(name, multiplications):
    irreps = real_irreps(TABLED[name])
    assert sum(irrep.dimension**2 * irrep.rows for irrep in irreps) == multiplications


def test_other_groups_are_refused():
    """A table alone that is no group of the square: three elements."""
    third = ag.group("p4")
    cyclic = object.__new__(ag.FiniteGroup)
    cyclic.__dict__.update(third.__dict__)
    cyclic.name, cyclic.order, cyclic.matrices = "c3", 3, third.matrices[:3]
    cyclic.product_table = tuple(tuple((i + j) % 3 for j in range(3)) for i in range(3))
    cyclic.inverse_table = (0, 2, 1)
    with pytest.raises(ValueError, match="c3"):
        real_irreps(cyclic)
