"""Worker process of a measurement: ``python -m attentive_gconv.bench.worker JOB.json RESULT.json``.

Each job has its own process, so that memory is counted from a clean start, and settings of the allocator, which are
read when a process starts, can differ.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.bench.cases import Case, NotOffered, build
from attentive_gconv.bench.memory import peak_memory
from attentive_gconv.bench.steps import arithmetic, prepare
from attentive_gconv.bench.timing import time_interleaved
from attentive_gconv.nn import configure_convolution

# batch normalisation of channel statistics needs two images
WARM_UP_BATCH = 2


def synchroniser(device: torch.device) -> Callable[[], None]:
    """Make a function that waits until the device is idle."""
    if device.type == "cpu":
        return lambda: None
    return lambda: torch.accelerator.synchronize(device)


def failure(error: Exception) -> dict[str, Any]:
    """An error as plain values."""
    message = " ".join(str(error).split())[:500]
    return {"error": f"{type(error).__name__}: {message}", "offered": not isinstance(error, NotOffered)}


def time_cases(
    cases: list[Case], what: str, repeats: int, warmup: int, min_seconds: float
) -> dict[str, list[dict[str, Any]]]:
    """Time all cases in interleaved rounds; a case that fails in its warm-up is left out of the rounds."""
    synchronise = synchroniser(torch.device(cases[0].device))
    found: list[dict[str, Any]] = [{} for _ in cases]
    ready: dict[int, Callable[[], None]] = {}
    for index, case in enumerate(cases):
        try:
            run = prepare(case, what)
            for _ in range(warmup):
                run()
            synchronise()
        # another implementation may raise anything; the error is reported, and the other cases are measured
        except Exception as error:
            found[index] = failure(error)
        else:
            ready[index] = run
    samples = time_interleaved(
        list(ready.values()), repeats=repeats, warmup=0, synchronise=synchronise, min_seconds=min_seconds
    )
    for index, of_case in zip(ready, samples, strict=True):
        found[index] = asdict(of_case)
    return {"samples": found}


def memory_of_case(case: Case, steps: int) -> dict[str, Any]:
    """Peak memory of building the module and running training steps.

    A step of a small batch runs before, and a pass in the form that only large batches take, so that what is loaded or
    compiled once is not counted.
    """
    small = replace(case, batch=min(case.batch, WARM_UP_BATCH))

    def run(measured: Case, times: int) -> None:
        step = prepare(measured, "memory")
        for _ in range(times):
            step()

    def pass_by_irreps() -> None:
        module, x = build(small)
        if small.factory is None and configure_convolution(module, conv="irreps"):
            with arithmetic(small):
                module.train()(x).sum().backward()

    try:
        run(small, 1)
        pass_by_irreps()
        return asdict(peak_memory(lambda: run(case, steps), torch.device(case.device)))
    except Exception as error:
        return failure(error)


def compare_outputs(ours: Case, theirs: Case) -> dict[str, Any]:
    """Compare two cases in eval mode: output shapes, parameter counts and, with shared weights, the outputs.

    The distance is the largest difference of the outputs, relative to the largest output.
    """
    try:
        (mine, x), (other, y) = (build(case) for case in (ours, theirs))
        same = _same_weights(mine, other)
        outputs = [_output(case, module, inputs) for case, module, inputs in ((ours, mine, x), (theirs, other, y))]
    except Exception as error:
        return failure(error)
    shapes = [list(output.shape) for output in outputs]
    difference = None
    if same and shapes[0] == shapes[1]:
        difference = ((outputs[0] - outputs[1]).abs().max() / outputs[0].abs().max()).item()
    parameters = [sum(parameter.numel() for parameter in module.parameters()) for module in (mine, other)]
    return {"shapes": shapes, "parameters": parameters, "difference": difference}


def _output(case: Case, module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad(), arithmetic(case):
        out: Tensor = module.eval()(x)
    return out.double()


def _same_weights(source: nn.Module, target: nn.Module) -> bool:
    """Copy the source's weights to the target if names and shapes are the same."""
    state = source.state_dict()
    wanted = {name: tensor.shape for name, tensor in target.state_dict().items()}
    if wanted != {name: tensor.shape for name, tensor in state.items()}:
        return False
    target.load_state_dict(state)
    return True


def perform(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run a job of `attentive_gconv.bench.jobs`."""
    if job["threads"] is not None:
        torch.set_num_threads(job["threads"])
    cases = [Case(**case) for case in job["cases"]]
    if job["task"] == "time":
        result: dict[str, Any] = time_cases(cases, job["what"], job["repeats"], job["warmup"], job["min_seconds"])
    elif job["task"] == "memory":
        result = memory_of_case(cases[0], job["steps"])
    elif job["task"] == "compare":
        result = compare_outputs(*cases)
    else:
        raise ValueError(f"unknown task {job['task']!r}")
    return {**result, "threads": torch.get_num_threads()}


def main() -> None:
    """Read a job and write its result."""
    job, result = map(Path, sys.argv[1:])
    result.write_text(json.dumps(perform(json.loads(job.read_text(encoding="utf-8")))), encoding="utf-8")


if __name__ == "__main__":
    main()
