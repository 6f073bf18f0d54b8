"""Is the library right on this GPU, and what does it cost there? One command, within nine minutes:

    make gpu                                                    # or:
    python benchmarks/gpu_acceptance.py --out gpu-acceptance.json

- values: full attention by the Triton kernels beside the definition, values and gradients, the cases of the tests; and
  that a repetition gives the same bits
- networks: training step, inference and peak memory of the networks of rotated MNIST and of the p4-All-CNN-Cs, batch
  128, in fp32, TF32 and bf16; full attention beside the floor that benchmarks/gpu_floor.py computes from shapes
- layers: a group layer beside conv2d of the expanded size and beside batched products of irreps (`irreps_gemm`)

It needs PyTorch and Triton alone. Each part has a share of the time; what it does not get to is listed as not measured.
The exit status is 1 if a value is wrong. ``--small`` tries it out on few and small cases; with ``TRITON_INTERPRET=1``
that runs without a GPU, by Triton's interpreter.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "benchmarks")]

import attentive_gconv as ag  # noqa: E402
import triton_cases  # noqa: E402
from attentive_gconv.bench.cases import Case, build, has_full_attention  # noqa: E402
from attentive_gconv.bench.memory import peak_memory  # noqa: E402
from attentive_gconv.bench.steps import prepare  # noqa: E402
from attentive_gconv.bench.timing import quartiles, ratios, time_interleaved  # noqa: E402
from attentive_gconv.bench.worker import synchroniser  # noqa: E402
from attentive_gconv.files import write_json  # noqa: E402
from gpu_floor import DEVICES, costs  # noqa: E402
from irreps_gemm import irreps_gemm  # noqa: E402
from provenance import published_environment  # noqa: E402

FAMILIES = [
    [Case(name, batch=128) for name in ("p4cnn", "alpha_f_p4cnn", "alpha_p4cnn")],
    [Case(name, batch=128) for name in ("p4_allcnnc", "alpha_p4_allcnnc")],
]
# Triton's interpreter takes minutes for a network
SMALL_FAMILIES = [[Case(name, "group", batch=1, group="z2", channels=2, side=4) for name in ("none", "full")]]
PRECISIONS = {"fp32": (False, "float32"), "tf32": (True, "float32"), "bf16": (False, "bfloat16")}
LAYERS = [
    Case("none", "group", batch=128, group="p4", channels=10, side=26),
    Case("none", "group", batch=32, group="p4m", channels=32, side=32, padding=1),
    Case("none", "group", batch=32, group="p4", channels=48, side=32, padding=1),
]
SHARES = {"values": 0.4, "networks": 0.45, "layers": 0.15}  # of the time
LIMITS = {torch.float64: 1e-11, torch.float32: 1e-5}
NOT_MEASURED = "not measured: the time was up"


class Clock:
    """Until when a part may begin something new."""

    def __init__(self, minutes: float) -> None:
        self.start, self.seconds = time.monotonic(), 60 * minutes
        self.until = self.start

    def give(self, share: float) -> None:
        """The next part's share; what earlier ones left is its own."""
        self.until += share * self.seconds

    def is_up(self) -> bool:
        return time.monotonic() > self.until

    def passed(self) -> float:
        return round(time.monotonic() - self.start, 1)


@contextmanager
def precision(name: str) -> Iterator[str]:
    """TF32 in products and convolutions or not; gives the dtype of a `Case`."""
    tf32, dtype = PRECISIONS[name]
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield dtype
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def values(device: str, clock: Clock, small: bool) -> list[dict[str, Any]]:
    """The largest relative differences of each case of the tests from the definition."""
    found: list[dict[str, Any]] = []
    for case in triton_cases.CASES[:3] if small else triton_cases.CASES:
        row: dict[str, Any] = {"case": case.name, "limit": LIMITS[case.dtype]}
        if clock.is_up():
            found.append({**row, "error": NOT_MEASURED})
            continue
        try:
            row["differences"] = triton_cases.differences(case, device)
            first, second = (triton_cases.results(case, device, "triton") for _ in range(2))
            row["repeats"] = all(torch.equal(first[n].nan_to_num(), second[n].nan_to_num()) for n in first)
            row["passed"] = row["repeats"] and all(d <= row["limit"] for d in row["differences"].values())
        except Exception as error:  # a kernel may fail in any way; the others are tried all the same
            row |= {"passed": False, "error": f"{type(error).__name__}: {error}"[:500]}
        found.append(row)
        print("values", case.name, "passed" if row["passed"] else f"FAILED {row}", flush=True)
    return found


def timed(candidates: dict[str, Callable[[], None]], device: str, rounds: int) -> dict[str, Any]:
    """Seconds of each, interleaved, and ratios to the first."""
    wait = synchroniser(torch.device(device))
    samples = time_interleaved(list(candidates.values()), repeats=rounds, warmup=2, synchronise=wait, min_seconds=0.03)
    return {
        name: {"seconds": quartiles(s.seconds)._asdict(), "ratio": ratios(s.seconds, samples[0].seconds)._asdict()}
        for name, s in zip(candidates, samples, strict=True)
    }


def networks(device: str, clock: Clock, small: bool, rounds: int) -> list[dict[str, Any]]:
    """Step, inference and peak memory of each family in each precision, ratios to its plain network."""
    found = []
    for name in PRECISIONS:
        for family in SMALL_FAMILIES if small else FAMILIES:
            names = [case.name for case in family]
            row: dict[str, Any] = {"precision": name, "networks": names, "batch": family[0].batch}
            found.append(row)
            for what in ("train", "inference", "memory"):
                with precision(name) as dtype:
                    cases = [replace(case, backend=backend(case), dtype=dtype, device=device) for case in family]
                    row[what] = NOT_MEASURED if clock.is_up() else attempt(measured, cases, what, rounds)
                print("network", name, what, *_medians(names, row[what]), flush=True)
    return found


def backend(case: Case) -> str | None:
    """Triton where there is something to choose, in the interpreter too."""
    return "triton" if has_full_attention(case.kind, case.name) else None


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives, or the error as text: one that fails keeps none of the others from being measured."""
    try:
        return function(*arguments)
    except Exception as error:  # out of memory, a kernel that does not compile
        torch.cuda.empty_cache()
        return f"{type(error).__name__}: {error}"[:500]


def measured(cases: list[Case], what: str, rounds: int) -> dict[str, Any]:
    """One measurement of a family."""
    device = cases[0].device
    if what != "memory":
        return timed({case.name: prepare(case, what) for case in cases}, device, rounds)
    peaks = {}
    for case in cases:
        prepare(replace(case, batch=min(case.batch, 2)), "memory")()
        peaks[case.name] = peak_memory(lambda case=case: _two_steps(case), torch.device(device)).bytes
    return {name: {"bytes": peak} for name, peak in peaks.items()}


def _two_steps(case: Case) -> None:
    step = prepare(case, "memory")
    step()
    step()


def layers(device: str, clock: Clock, small: bool, rounds: int) -> list[dict[str, Any]]:
    """A group layer as conv2d of the expanded size, as ours, and by batched products of irreps; values compared."""
    cases = [replace(LAYERS[0], batch=1, channels=2, side=5)] if small else LAYERS
    found = []
    for case in cases:
        for name in PRECISIONS:
            row: dict[str, Any] = {"layer": case.to_mapping(), "precision": name}
            found.append(row)
            with precision(name) as dtype:
                here = replace(case, device=device, dtype=dtype)
                for what in ("train", "inference"):
                    row[what] = NOT_MEASURED if clock.is_up() else attempt(forms, here, what, rounds)
                    print("layer", case.group, case.channels, name, what, *_medians(FORMS, row[what]), flush=True)
    return found


FORMS = ("conv2d", "expanded", "batched products")


def forms(case: Case, what: str, rounds: int) -> dict[str, Any]:
    """Times of the three forms; the third one's largest difference from the second is beside them."""
    layer, x = build(case)
    group = ag.group(case.group or "p4")
    with torch.no_grad():
        exact, weight = layer.double(), (layer.scale * layer.weight).double()
        expected, actual = exact(x[:1].double()), irreps_gemm(x[:1].double(), weight, group, case.padding)
    layer.float()
    autocast = torch.autocast(case.device, torch.bfloat16, enabled=case.dtype == "bfloat16")
    grad = torch.randn(len(x), *expected.shape[1:], device=x.device)
    x.requires_grad_(what == "train")

    def batched() -> None:
        with autocast, torch.set_grad_enabled(what == "train"):
            out = irreps_gemm(x, layer.scale * layer.weight, group, case.padding)
        if what == "train":
            torch.autograd.grad(out, (x, layer.weight), grad.to(out.dtype))

    candidates = {"conv2d": prepare(replace(case, name="conv2d"), what), "expanded": prepare(case, what)}
    found = timed({**candidates, "batched products": batched}, case.device, rounds)
    error = (actual - expected).abs().max() / expected.abs().max()
    return {**found, "difference in float64": float(error)}


def _medians(names: Sequence[str], found: Any) -> list[str]:
    """For the terminal."""
    if isinstance(found, str):
        return [found]
    short = []
    for name in names:
        bytes_ = found[name].get("bytes")
        value = f"{1e3 * found[name]['seconds']['median']:.3g} ms" if bytes_ is None else f"{bytes_ / 1e6:.0f} MB"
        short.append(f"{name} {value}")
    return short


def floors(device_name: str) -> dict[str, Any]:
    """The floors of full attention, in seconds a training step; None for a GPU whose data sheet is not in the table."""
    device = DEVICES.get(device_name)
    attended = [case.name for family in FAMILIES for case in family if backend(case)]
    seconds = {n: None if device is None else sum(c.floor(device) for c in costs(128, n)) for n in attended}
    return {"data sheet": None if device is None else device.name, "seconds": seconds}


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="[cuda]")
    parser.add_argument("--minutes", type=float, default=8.5, help="after which nothing new is begun [8.5]")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of timing [7]")
    parser.add_argument("--small", action="store_true", help="few and small cases")
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no GPU here; try it out with TRITON_INTERPRET=1 ... --device cpu --small")
    clock = Clock(given.minutes)
    name = torch.cuda.get_device_name() if given.device == "cuda" else given.device
    report: dict[str, Any] = {"environment": published_environment(), "device": name, "floor": floors(name)}
    for part in SHARES:
        clock.give(SHARES[part])
        began = clock.passed()
        rounds = () if part == "values" else (given.rounds,)
        report[part] = globals()[part](given.device, clock, given.small, *rounds)
        report.setdefault("seconds", {})[part] = round(clock.passed() - began, 1)
        if given.out is not None:
            write_json(given.out, report)
    wrong = [row["case"] for row in report["values"] if not row.get("passed")]
    print(json.dumps(report["seconds"]), "not passed:", ", ".join(wrong) or "none")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
