"""Optimizers and learning-rate schedules from their settings."""

import inspect
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, OneCycleLR, ReduceLROnPlateau

from attentive_gconv.settings import ConfigError
from attentive_gconv.training.choices import optimizer_class, schedule_class
from attentive_gconv.training.config import OptimizerConfig, ScheduleConfig


def make_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> Optimizer:
    """Make the optimizer of the settings for these parameters.

    Raises:
        ConfigError: if the optimizer refuses its settings.
    """
    kind = optimizer_class(config.name)
    known = inspect.signature(kind).parameters
    settings: dict[str, Any] = {"lr": config.lr, **config.options}
    if config.weight_decay or "weight_decay" in known:
        settings["weight_decay"] = config.weight_decay
    if config.momentum is not None:
        settings["momentum"] = config.momentum
    return _made("optimizer", kind, parameters, settings)


def make_schedule(optimizer: Optimizer, config: ScheduleConfig, steps: int) -> LRScheduler:
    """Make the schedule of the settings.

    Args:
        optimizer: the optimizer whose learning rate it changes.
        config: the settings.
        steps: number of optimizer steps of the whole run.

    Raises:
        ConfigError: if the schedule refuses its settings.
    """
    kind = schedule_class(config.name)
    settings: dict[str, Any] = {}
    if config.name == "constant":
        kind, settings = LambdaLR, {"lr_lambda": lambda epoch: 1.0}
    elif config.name == "onecycle":
        peak = optimizer.param_groups[0]["lr"]
        settings = {"max_lr": peak, "total_steps": steps, "pct_start": config.warmup, "cycle_momentum": False}
        kind = OneCycleLR
    elif config.name == "multistep":
        assert config.milestones is not None
        kind, settings = MultiStepLR, {"milestones": list(config.milestones), "gamma": config.gamma}
    elif config.name == "plateau":
        # threshold 0: any improvement of the accuracy counts
        settings = {"mode": "max", "factor": config.gamma, "patience": config.patience, "threshold": 0.0}
        kind, settings = ReduceLROnPlateau, {**settings, "threshold_mode": "abs"}
    else:
        fields = {name: getattr(config, name) for name in ("milestones", "gamma", "patience")}
        settings = {name: value for name, value in fields.items() if value is not None}
    return _made("schedule", kind, optimizer, {**settings, **config.options})


def _made(section: str, kind: Any, first: Any, settings: dict[str, Any]) -> Any:
    try:
        return kind(first, **settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{section}.name (={kind.__name__}) refuses its settings {settings}: {error}") from error
