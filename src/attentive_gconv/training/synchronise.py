"""Synchronised batch normalisation: statistics of the whole batch that several processes share.

With x_r the share of process r, and n values for each channel in all shares together,

    mean = Σ_r Σ x_r / n,    var = Σ_r Σ (x_r - mean)² / n,

both summed over the processes in the forward pass, and their gradients in the backward pass. The result is that of one
process with the whole batch, up to rounding. On GPUs `torch.nn.SyncBatchNorm` is used, which does the same; it refuses
tensors on the CPU.
"""

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.plugins import LayerSync, TorchSyncBatchNorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce by summation; the gradients are summed over the processes as well.

    Written by hand, because `torch.distributed.nn.functional.all_reduce`, which does the same, is deprecated from torch
    2.15 on, in favour of a private function.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


class SynchronisedBatchNorm(_BatchNorm):
    """Batch normalisation over ``(B, C, ...)`` with the statistics of all processes, on any device."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch normalisation takes (B, C, ...), got shape {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """The normalised input."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        over = [0, *range(2, input.dim())]
        shape = (1, -1) + (1,) * (input.dim() - 2)
        # at least in float32, as in torch
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        count = torch.full((1,), x.numel() / x.shape[1], dtype=x.dtype, device=x.device)
        sums = _SumOverProcesses.apply(torch.cat([x.sum(over), count]))
        n = sums[-1].detach()
        mean = sums[:-1] / n
        centred = x - mean.view(shape)
        var = _SumOverProcesses.apply(centred.square().sum(over)) / n
        self._update(mean.detach(), var.detach() * n / (n - 1))
        result = centred * (var + self.eps).rsqrt().view(shape)
        if self.affine:
            result = result * self.weight.view(shape) + self.bias.view(shape)
        return result.to(input.dtype)

    def _update(self, mean: Tensor, var: Tensor) -> None:
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
            self.running_var.lerp_(var.to(self.running_var.dtype), weight)


class SynchroniseBatchNorm(LayerSync):
    """Replaces a model's batch normalisation by synchronised layers while several processes train it.

    Parameters and buffers stay the same tensors under the same names, so that checkpoints are those of the model.
    """

    def __init__(self) -> None:
        self._on_gpus = TorchSyncBatchNorm()
        # parent, name and layer of each replaced layer
        self._replaced: list[tuple[nn.Module, str, _BatchNorm]] = []

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace the layers; Lightning calls this once the processes are connected."""
        if dist.get_backend() == "nccl":
            return self._on_gpus.apply(model)
        for parent in list(model.modules()):
            for name, layer in parent.named_children():
                if isinstance(layer, _BatchNorm):
                    self._replaced.append((parent, name, layer))
                    parent.add_module(name, _filled(_like(layer), layer))
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Restore the model's own layers."""
        for parent, name, layer in self._replaced:
            parent.add_module(name, _filled(layer, parent.get_submodule(name)))
        self._replaced.clear()
        return self._on_gpus.revert(model)


def _like(layer: _BatchNorm) -> SynchronisedBatchNorm:
    return SynchronisedBatchNorm(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)


def _filled(layer: _BatchNorm, source: nn.Module) -> _BatchNorm:
    layer.training = source.training
    layer._parameters.update(source._parameters)
    layer._buffers.update(source._buffers)
    return layer
