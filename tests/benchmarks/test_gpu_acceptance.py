"""The acceptance on a GPU, tried out in Triton's interpreter."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import attentive_gconv as ag
from grid_groups import TABLED, group_id
from irreps_gemm import irreps_gemm

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu_acceptance.py"


@pytest.mark.parametrize(("side", "padding"), [(1, 0), (2, 1), (3, 1), (4, 0), (5, 2)])
@pytest.mark.parametrize("group", TABLED.values(), ids=group_id)
def test_batched_products_are_the_group_convolution(group, side, padding):
    torch.manual_seed(0)
    layer = ag.nn.GroupConv2d(group, 2, 3, side, padding=padding, bias=False).double()
    x = torch.randn(2, 2, group.order, 5, 6, dtype=torch.float64, requires_grad=True)
    found, expected = irreps_gemm(x, layer.scale * layer.weight, group, padding), layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn_like(expected)
    of_found, of_expected = (torch.autograd.grad(out, (x, layer.weight), weights) for out in (found, expected))
    torch.testing.assert_close(of_found, of_expected, rtol=1e-12, atol=1e-12)


def test_without_a_gpu_it_says_what_to_do():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no GPU here; try it out with TRITON_INTERPRET=1" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_it_runs_in_the_interpreter_with_nothing_but_torch_numpy_and_triton(tmp_path):
    """Everything else is made impossible to import."""
    absent = ("lightning", "torchmetrics", "torchvision", "typer", "rich", "pytest", "matplotlib", "scipy", "sklearn")
    code = (
        f"import sys, runpy; sys.modules.update(dict.fromkeys({absent!r})); "
        f"sys.argv = {['gpu', '--device', 'cpu', '--small', '--rounds', '3', '--out', str(tmp_path / 'gpu.json')]!r}; "
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    variables = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["passed"] for row in report["values"]] == [True] * 3
    assert {row["precision"] for row in report["networks"]} == {"fp32", "tf32", "bf16"}
    for row in [*report["networks"], *report["layers"]]:
        for what in ("train", "inference"):
            assert isinstance(row[what], dict), row
    assert all(row["train"]["difference in float64"] < 1e-12 for row in report["layers"])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_what_the_time_does_not_suffice_for_is_listed(tmp_path):
    variables = {**os.environ, "TRITON_INTERPRET": "1"}
    options = ["--device", "cpu", "--small", "--minutes", "0", "--out", tmp_path / "gpu.json"]
    done = subprocess.run([sys.executable, SCRIPT, *options], env=variables, capture_output=True, text=True)
    assert done.returncode == 1
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert {row["error"] for row in report["values"]} == {"not measured: the time was up"}
    assert {row["train"] for row in report["networks"]} == {"not measured: the time was up"}
