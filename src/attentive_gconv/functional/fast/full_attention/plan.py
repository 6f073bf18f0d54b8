"""How the streaming form is computed: by what, over which parts of a batch, and the gradients put together."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attentive_gconv.functional.fast.full_attention.backends import Backend
from attentive_gconv.functional.fast.full_attention.problem import Gradients, Problem, Saved


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
        return max(1, min(x.shape[0], self.budget // each))

    def outputs(self, problem: Problem, x: Tensor) -> int:
        """How many outputs are recomputed at once, when one sample alone would exceed the budget."""
        return max(1, min(problem.outputs, self.budget // problem.kept_bytes(x.element_size())))

    def forward(self, problem: Problem, x: Tensor, save: bool) -> tuple[Tensor, list[Saved]]:
        """The output; if wanted what backward needs, part by part of the batch: to join it would hold it twice."""
        step = self.samples(problem, x, save=False)
        parts = [self.backend.forward(problem, x[b : b + step], save, self.budget) for b in range(0, len(x), step)]
        out = parts[0][0] if len(parts) == 1 else torch.cat([out for out, _ in parts])
        return out, [kept for _, kept in parts if kept is not None]

    def backward(self, problem: Problem, x: Tensor, kept: list[Saved], grad: Tensor) -> Gradients:
        """All gradients, summed over forward's parts of the batch and, when recomputing large maps, over outputs.

        Args:
            problem, x: as in `forward`.
            kept: its parts; not looked at when recomputing.
            grad: of the output.
        """
        grad = grad.contiguous()
        step = self.samples(problem, x, save=self.recompute)
        width = self.outputs(problem, x) if self.recompute else problem.outputs
        total = Gradients.zeros(problem, x)
        for number, b in enumerate(range(0, len(x), step)):
            samples = slice(b, b + step)
            for m in range(0, problem.outputs, width):
                part = problem.part(m, min(m + width, problem.outputs))
                here = self.backend.forward(part, x[samples], True, self.budget)[1] if self.recompute else kept[number]
                assert here is not None
                found = self.backend.backward(
                    part, x[samples], here, grad[samples, m : m + width].contiguous(), self.budget
                )
                total.x[samples] += found.x
                for name in ("weight", "fc1", "fc2", "psi"):
                    if (sum_of := getattr(total, name)) is not None:
                        sum_of[:, m : m + width] += getattr(found, name)
        if problem.skip:
            total.weight += _plain_weight_gradient(problem, x, grad)
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
