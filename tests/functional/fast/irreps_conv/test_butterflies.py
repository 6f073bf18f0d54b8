"""Butterflies: a chain of sums and differences that is the transform, with as few additions as the field knows."""

import numpy as np
import pytest

from attentive_gconv.functional.irreps import fourier_matrix
from grid_groups import GRID_GROUPS, group_id

pytest.importorskip("numba")
from attentive_gconv.functional.fast.irreps_conv.butterflies import factorize


@pytest.mark.parametrize("group", GRID_GROUPS, ids=group_id)
def test_the_chain_is_the_transform(group):
    matrix = fourier_matrix(group, normalized=False).numpy()
    steps, rows = factorize(matrix)
    chain = np.eye(group.order)
    for i, j in steps:
        chain[[i, j]] = chain[i] + chain[j], chain[i] - chain[j]
    assert np.array_equal(np.array([sign * chain[i] for i, sign in rows]), matrix)


@pytest.mark.parametrize(("name", "additions"), [("z2", 0), ("pm", 2), ("p4", 6), ("pmm", 8), ("p4m", 20)])
def test_additions(name, additions):
    group = next(group for group in GRID_GROUPS if group.name == name)
    assert 2 * len(factorize(fourier_matrix(group, normalized=False).numpy()).steps) == additions


def test_a_matrix_that_is_none():
    with pytest.raises(ValueError, match="no chain of butterflies"):
        factorize(np.array([[1.0, 1.0], [1.0, 0.0]]))
