"""The Triton backend against the definition: on a GPU where there is one, else through Triton's interpreter."""

import importlib.util
import multiprocessing
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.fast.dispatch import available_backends
from attentive_gconv.functional.fast.full_attention.layout import Geometry, same_padding
from attentive_gconv.functional.fast.full_attention.problem import Problem
from triton_cases import CASES, Case, differences, interpret

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
DEVICES = [
    "interpreter",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
]


@pytest.fixture(scope="module")
def interpreter() -> Iterator[ProcessPoolExecutor]:
    """A process in which Triton's kernels are interpreted."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), interpret) as pool:
        yield pool


@pytest.fixture(params=DEVICES)
def compare(request: pytest.FixtureRequest) -> Callable[[Case], dict[str, float]]:
    if request.param == "cuda":
        return partial(differences, device="cuda")
    pool: ProcessPoolExecutor = request.getfixturevalue("interpreter")
    return lambda case: pool.submit(differences, case, "cpu").result()


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_values_and_gradients(case: Case, compare: Callable[[Case], dict[str, float]]) -> None:
    limit = 1e-11 if case.dtype == torch.float64 else 1e-5
    found = compare(case)
    assert {"out", "d x", "d kernel"} <= set(found)
    assert {name: error for name, error in found.items() if not error <= limit} == {}


@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_repeats_bit_for_bit() -> None:
    from triton_cases import results

    first, second = (results(CASES[0], "cuda", "triton") for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    "single", [(), ("rows", "columns"), ("depth", "outputs")], ids=lambda names: " ".join(names) or "general"
)
def test_kernels_compile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, single: tuple[str, ...]) -> None:
    """The interpreter accepts Python that the compiler does not; compiling needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from attentive_gconv.functional.fast.full_attention import triton_backend

    types = {torch.float64: "*fp64", torch.int16: "*i16", torch.int32: "*i32"}
    compiled = {}

    def compile_only(kernel: Any, programs: int, *arguments: Any, warps: int = 4, **constants: Any) -> None:
        if kernel.__name__ in compiled:
            return
        given = dict(zip(kernel.arg_names, arguments, strict=False))
        signature = {name: types[a.dtype] if isinstance(a, torch.Tensor) else "i32" for name, a in given.items()}
        # a launch makes constants of integers that are 1
        constants |= {name: 1 for name in single if name in signature}
        source = ASTSource(kernel, signature | dict.fromkeys(constants, "constexpr"), constants)
        options = {"num_warps": warps, "enable_fp_fusion": True}
        compiled[kernel.__name__] = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)

    monkeypatch.setattr(triton_backend, "_launch", compile_only)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    geometry = Geometry((6, 6), (1, 2), (2, 1), (1, 1), (1, 1))
    spatial, _ = same_padding(geometry.output, 3, 1)
    weight, fc1, fc2, psi = (
        torch.randn(2, 4, *shape, dtype=torch.float64)
        for shape in ((3, 2), (1, 3), (3, 1), (2, spatial.kernel[0] * spatial.kernel[1]))
    )
    problem = Problem(geometry, weight, fc1, fc2, psi, spatial, 1.3, 1.0, -1.0)
    x = torch.randn(2, 3, 2, 6, 6, dtype=torch.float64)
    out, kept = triton_backend.forward(problem, x, True, 1 << 20)
    assert kept is not None
    triton_backend.backward(problem, x, kept, torch.zeros_like(out), 1 << 20)
    assert len(compiled) == 11
    for name, kernel in compiled.items():
        # nothing is computed in less than the dtype of x
        assert "f64" in kernel.asm["ptx"], name
        assert re.search(r"(fma|mul|add|mma)\S*f32", kernel.asm["ptx"]) is None, name
        # conversions to 8 bits, and two 16-bit numbers at a time: what Triton 3.6 made of a loop went wrong on a GPU
        # (triton_kernels.py); Triton 3.9 does not make it
        assert re.search(r"16x2|cvt\S*\.[su]8\b", kernel.asm["ptx"]) is None, name


class TestChoice:
    @pytest.fixture(autouse=True)
    def _fresh(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.delenv("TRITON_INTERPRET", raising=False)
        dispatch.fastest_backend.cache_clear()
        yield
        dispatch.fastest_backend.cache_clear()

    def test_a_gpu_takes_triton(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dispatch, "available_backends", lambda: {"triton": True})
        assert dispatch.fastest_backend("cuda") == "triton"

    def test_a_gpu_without_triton_is_told_so_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dispatch, "available_backends", lambda: {"triton": False})
        with pytest.warns(RuntimeWarning, match="slower on cuda.*pip install triton"):
            assert dispatch.fastest_backend("cuda") == "torch"
        assert dispatch.fastest_backend("cuda") == "torch"

    def test_other_devices_take_torch_silently(self) -> None:
        assert dispatch.fastest_backend("mps") == "torch"

    @pytest.mark.parametrize(("name", "device", "remedy"), [("triton", "cpu", "cuda"), ("numba", "cuda", "cpu")])
    def test_a_backend_of_another_device_is_refused(self, name: str, device: str, remedy: str) -> None:
        with pytest.raises(ValueError, match=rf"`backend` \(='{name}'\) does not compute on {device}.*{remedy}"):
            dispatch.get_backend(name, torch.device(device))

    def test_triton_is_not_available_without_a_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert available_backends()["triton"] is False
