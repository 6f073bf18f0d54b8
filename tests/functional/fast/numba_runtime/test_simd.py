"""Vectors of both widths: as this processor has them, and as one without AVX-512."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from attentive_gconv.bench.instructions import instructions_environment
from attentive_gconv.functional.fast.numba_runtime import simd
from attentive_gconv.functional.fast.numba_runtime.aligned_memory import LINE, aligned_empty, aligned_zeros
from attentive_gconv.functional.fast.numba_runtime.jit import in_order

FAST = Path(__file__).parents[1]


@in_order
def _totals(source, out, at):
    step = simd.lanes_of(source)
    a, b = simd.load(source, 0), simd.load(source, step)
    simd.add_totals(out, at, a, b, simd.load(source, 2 * step), simd.load(source, 3 * step))
    return simd.total(a)


@in_order
def _spread(source, index, out):
    simd.store(out, 0, simd.spread(source, index))


@in_order
def _aligned(size, like):
    return aligned_empty(size, like), aligned_zeros(size, like)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sums_of_four_vectors_go_to_four_places(kind):
    lanes = simd.lanes(np.dtype(kind))
    source = np.arange(4 * lanes).astype(kind)
    out = np.ones(6, kind)
    first = _totals(source, out, 1)
    sums = source.reshape(4, lanes).sum(1)
    assert out.tolist() == [1, *(1 + sums), 1]
    assert first == sums[0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_an_entry_is_spread_over_a_vector(kind):
    lanes = simd.lanes(np.dtype(kind))
    out = np.zeros(lanes, kind)
    _spread(np.arange(5).astype(kind), 3, out)
    assert out.tolist() == [3] * lanes


@pytest.mark.parametrize("size", [1, 7, 64])
def test_memory_begins_with_a_line(size):
    for memory in _aligned(size, np.zeros(1, np.float32)):
        assert memory.shape == (size,)
        assert memory.ctypes.data % LINE == 0
    assert not memory.any()


def test_the_width_follows_the_features_that_the_compiler_may_use(monkeypatch):
    for features, wide in (("+avx2,+avx512f", True), ("+avx2,-avx512f", False), ("", False)):
        monkeypatch.setattr(simd.numba.config, "CPU_FEATURES", features)
        assert simd.has_wide_registers() == wide


@pytest.mark.slow
@pytest.mark.skipif(not simd.has_wide_registers(), reason="without AVX-512 the other tests have tried this already")
@pytest.mark.parametrize("room", ["full_attention/test_streaming.py", "input_attention", "irreps_conv"])
def test_values_and_gradients_without_avx512(room):
    """The tests of the kernels once more, by code for AVX2."""
    variables = {**os.environ, **instructions_environment("avx2")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FAST / room)],
        env=variables,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[4],
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 10
