"""What the tests of attention share: modules in a state in which nothing is zero, one, or symmetric by chance."""

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture
def trained() -> Callable[[nn.Module], nn.Module]:
    """Brings a module into such a state, in float64 and eval mode."""

    @torch.no_grad()
    def bring(module: nn.Module) -> nn.Module:
        for name, parameter in module.named_parameters():
            parameter.normal_(std=0.5) if "bias" in name else parameter.add_(0.1 * torch.randn_like(parameter))
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.running_mean.normal_()
                part.running_var.uniform_(0.2, 3)
        return module.double().eval()

    return bring
