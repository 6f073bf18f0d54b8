"""Find the optimizer and schedule of the settings: a recipe's short name, a class of PyTorch, or an import path."""

from collections.abc import Mapping
from typing import Any

from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, OneCycleLR, ReduceLROnPlateau

from attentive_gconv.importing import check_arguments, find_class
from attentive_gconv.settings import ConfigError

OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "sgd": SGD}
# with the arguments that fields of the recipe set
SCHEDULES: dict[str, tuple[type[LRScheduler], tuple[str, ...]]] = {
    "constant": (LambdaLR, ("lr_lambda",)),
    "multistep": (MultiStepLR, ("milestones", "gamma")),
    "plateau": (ReduceLROnPlateau, ("mode", "factor", "patience", "threshold", "threshold_mode")),
    "onecycle": (OneCycleLR, ("max_lr", "total_steps", "epochs", "steps_per_epoch", "pct_start", "cycle_momentum")),
}


def optimizer_class(name: str) -> type[Optimizer]:
    """The class of an optimizer.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name in OPTIMIZERS:
        return OPTIMIZERS[name]

    def suits(found: Any) -> bool:
        return isinstance(found, type) and issubclass(found, Optimizer) and found is not Optimizer

    found: type[Optimizer] = find_class("optimizer.name", name, within="torch.optim", suits=suits, names=OPTIMIZERS)
    return found


def schedule_class(name: str) -> type[LRScheduler]:
    """The class of a schedule.

    Raises:
        ConfigError: if there is none of that name.
    """
    if name in SCHEDULES:
        return SCHEDULES[name][0]

    def suits(found: Any) -> bool:
        return isinstance(found, type) and issubclass(found, LRScheduler) and found is not LRScheduler

    within = "torch.optim.lr_scheduler"
    found: type[LRScheduler] = find_class("schedule.name", name, within=within, suits=suits, names=SCHEDULES)
    if issubclass(found, ReduceLROnPlateau):
        raise ConfigError(f"schedule.name (={name!r}) needs a metric: take 'plateau', which watches the accuracy")
    return found


def check_optimizer(name: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError unless the optimizer exists and takes these options."""
    fields = ("name", "lr", "weight_decay", "momentum")
    check_arguments("optimizer", optimizer_class(name), options, fixed=("params",), fields=fields)


def check_schedule(name: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError unless the schedule exists and takes these options."""
    fixed = ("optimizer", "last_epoch", *(SCHEDULES[name][1] if name in SCHEDULES else ()))
    fields = ("name", "milestones", "gamma", "patience", "warmup", "interval")
    check_arguments("schedule", schedule_class(name), options, fixed=fixed, fields=fields)
