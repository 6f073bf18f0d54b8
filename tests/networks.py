"""What the tests of whole networks share: random states that saturate nothing, and planar layers by torch alone."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.nn import GroupBatchNorm2d

EPS = 2e-5


@torch.no_grad()
def randomise_norms_(model: nn.Module, images: Tensor) -> nn.Module:
    """Random norms whose statistics are near those of the images, so that signals reach the end of a deep network."""
    norms = [part for part in model.modules() if isinstance(part, GroupBatchNorm2d)]
    for norm in norms:
        norm.weight.uniform_(0.5, 1.5)
        norm.weight *= torch.randn_like(norm.weight).sign()
        norm.bias.uniform_(-0.5, 0.5)
        norm.momentum = 1.0
    model.train()(images)
    for norm in norms:
        norm.running_mean += 0.3 * torch.randn_like(norm.running_mean) * norm.running_var.sqrt()
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.5, 2)
    return model.eval()


class Planar:
    """The weights of a network on the trivial group; each method applies those of one name with `torch` alone."""

    def __init__(self, model: nn.Module) -> None:
        self.state = {key: value.detach() for key, value in model.state_dict().items()}

    def conv(self, name: str, x: Tensor, padding: int = 0) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight.squeeze(2) if weight.dim() == 5 else weight, padding=padding)

    def norm_relu(self, name: str, x: Tensor) -> Tensor:
        values = [self.state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        return torch.relu(F.batch_norm(x, *values, eps=EPS))
