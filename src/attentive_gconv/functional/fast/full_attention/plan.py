"""How the streaming form is computed: by which backend, in which chunks of a batch, and the gradients put together."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from attentive_gconv.functional.chunking import chunks, fitting
from attentive_gconv.functional.fast.full_attention.problem import Backend, Gradients, Problem, Saved


@dataclass(frozen=True)
class Plan:
    """How the operation is to be computed: by what, in how much working memory, and what it keeps."""

    backend: Backend
    budget: int
    recompute: bool

    def samples(self, problem: Problem, x: Tensor, save: bool) -> int:
        """How many samples are worked on at once: as many as keep copies and gradients under the budget."""
        spread = problem.depth * problem.channels * problem.geometry.length * x.element_size()
        each = 3 * spread + (problem.outputs * problem.kept_bytes(x.element_size()) if save else 0)
        return fitting(len(x), each, self.budget)

    def outputs(self, problem: Problem, x: Tensor) -> int:
        """How many outputs are recomputed at once, when one sample alone would exceed the budget."""
        return fitting(problem.outputs, problem.kept_bytes(x.element_size()), self.budget)

    def forward(self, problem: Problem, x: Tensor, save: bool) -> tuple[Tensor, list[Saved]]:
        """The output; if wanted what backward needs, chunk by chunk of the batch: to join it would hold it twice."""
        step = self.samples(problem, x, save=False)
        found = [self.backend.forward(problem, x[b], save, self.budget) for b in chunks(len(x), step)]
        out = found[0][0] if len(found) == 1 else torch.cat([out for out, _ in found])
        return out, [kept for _, kept in found if kept is not None]

    def backward(self, problem: Problem, x: Tensor, kept: list[Saved], grad: Tensor) -> Gradients:
        """All gradients, summed over forward's chunks of the batch and, when recomputing large maps, over outputs.

        Args:
            problem, x: as in `forward`.
            kept: its chunks; not looked at when recomputing.
            grad: of the output.
        """
        grad = grad.contiguous()
        step = self.samples(problem, x, save=self.recompute)
        width = self.outputs(problem, x) if self.recompute else problem.outputs

        def of_tile(part: Problem, b: slice, m: slice) -> Gradients:
            recomputed = self.backend.forward(part, x[b], True, self.budget)[1] if self.recompute else None
            here = recomputed or kept[b.start // step]
            return self.backend.backward(part, x[b], here, grad[b, m].contiguous(), self.budget)

        ranges = [(b, m) for b in chunks(len(x), step) for m in chunks(problem.outputs, width)]
        total = sum_of_tiles(problem, x, ranges, of_tile)
        if problem.skip:
            total.weight += _plain_weight_gradient(problem, x, grad)
        return total


def sum_of_tiles(
    problem: Problem,
    x: Tensor,
    ranges: Iterable[tuple[slice, slice]],
    of_tile: Callable[[Problem, slice, slice], Gradients],
) -> Gradients:
    """The gradients that `of_tile` gives for every range of samples and outputs, added up."""
    total = Gradients.zeros(problem, x)
    for b, m in ranges:
        found = of_tile(problem.part(m.start, m.stop), b, m)
        total.x[b] += found.x
        for field in ("weight", "fc1", "fc2", "psi"):
            if (sum_of := getattr(total, field)) is not None:
                sum_of[:, m] += getattr(found, field)
    return total


def _plain_weight_gradient(problem: Problem, x: Tensor, grad: Tensor) -> Tensor:
    """scale·skip·Σ_b grad ⋆ x: the weight gradient of the plain convolution, by the library's own kernel."""
    geometry = problem.geometry
    shape = (problem.outputs, problem.channels * problem.depth, *geometry.kernel)
    _, gradient, _ = torch.ops.aten.convolution_backward(
        grad, x.flatten(1, 2), x.new_empty(shape), None, geometry.stride, geometry.padding, geometry.dilation,
        False, [0, 0], 1, [False, True, False],
    )  # fmt: skip
    ordered = gradient.view(problem.outputs, problem.channels, problem.depth, -1).permute(2, 0, 1, 3)
    return problem.scale * problem.skip * ordered
