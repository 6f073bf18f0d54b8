"""Optimizers and learning-rate schedules, made from their settings."""

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, OneCycleLR, ReduceLROnPlateau

from attentive_gconv.training.config import OptimizerConfig, ScheduleConfig


def make_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> Optimizer:
    """The optimizer of the recipe, over these parameters."""
    if config.name == "sgd":
        return SGD(parameters, lr=config.lr, momentum=config.momentum or 0.0, weight_decay=config.weight_decay)
    return Adam(parameters, lr=config.lr, weight_decay=config.weight_decay)


def make_schedule(optimizer: Optimizer, config: ScheduleConfig, steps: int) -> LRScheduler:
    """The schedule of the recipe, stepped once an epoch; a plateau's with the validation accuracy, onecycle every step.

    Args:
        optimizer: whose learning rate it changes.
        config: its settings.
        steps: how many optimizer steps the whole run takes.
    """
    if config.name == "onecycle":
        assert config.warmup is not None
        peak = optimizer.param_groups[0]["lr"]
        return OneCycleLR(optimizer, max_lr=peak, total_steps=steps, pct_start=config.warmup, cycle_momentum=False)
    if config.name == "multistep":
        assert config.milestones is not None
        assert config.gamma is not None
        return MultiStepLR(optimizer, milestones=list(config.milestones), gamma=config.gamma)
    if config.name == "plateau":
        assert config.patience is not None
        assert config.gamma is not None
        # threshold 0: any improvement of the accuracy counts
        return ReduceLROnPlateau(
            optimizer, mode="max", factor=config.gamma, patience=config.patience, threshold=0.0, threshold_mode="abs"
        )
    return LambdaLR(optimizer, lambda epoch: 1.0)
