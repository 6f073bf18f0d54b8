"""Samples and outputs in tiles whose working memory fits a budget, for backends that compute in tiles."""

from collections.abc import Callable, Iterator

from torch import Tensor

from attentive_gconv.functional.fast.full_attention.problem import Gradients, Problem, Saved


def tiles(problem: Problem, x: Tensor, each: int, budget: int) -> Iterator[tuple[slice, slice]]:
    """Ranges of samples and of outputs that take no more than the budget at `each` bytes a sample and output."""
    width = max(1, min(problem.outputs, budget // each))
    step = max(1, min(x.shape[0], budget // (each * width)))
    for b in range(0, x.shape[0], step):
        for m in range(0, problem.outputs, width):
            yield slice(b, min(b + step, x.shape[0])), slice(m, min(m + width, problem.outputs))


def sum_of_tiles(
    problem: Problem,
    x: Tensor,
    kept: Saved,
    grad: Tensor,
    ranges: Iterator[tuple[slice, slice]],
    of_tile: Callable[[Problem, Tensor, Saved, Tensor], Gradients],
) -> Gradients:
    """The gradients that `of_tile` gives for every tile, added up."""
    total = Gradients.zeros(problem, x)
    for b, m in ranges:
        part = problem.part(m.start, m.stop)
        here = Saved(*(None if tensor is None else tensor[b, :, m] for tensor in kept.tensors()))
        found = of_tile(part, x[b], here, grad[b, m])
        total.x[b] += found.x
        for field in ("weight", "fc1", "fc2", "psi"):
            if (sum_of := getattr(total, field)) is not None:
                sum_of[:, m] += getattr(found, field)
    return total
