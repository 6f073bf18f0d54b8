"""What the tests of attention share: modules in a state in which nothing is zero, one, or symmetric by chance."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def trained() -> Callable[[nn.Module, Tensor], nn.Module]:
    """Brings a module into such a state, in float64 and eval mode, as training on inputs like the given one would.

    The running statistics fit the inputs, so that no rectification is silent by chance and a map is never constant.
    """

    @torch.no_grad()
    def bring(module: nn.Module, x: Tensor) -> nn.Module:
        module.double()
        for name, parameter in module.named_parameters():
            parameter.normal_(std=0.3) if "bias" in name else parameter.add_(0.1 * torch.randn_like(parameter))
        norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.momentum = 1.0
        module.train()
        module(x + 0.1 * torch.randn_like(x))
        for norm in norms:
            norm.momentum = 0.1
        return module.eval()

    return bring
