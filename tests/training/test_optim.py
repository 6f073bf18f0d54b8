import pytest
import torch
from torch import nn

from attentive_gconv.training.config import OptimizerConfig, ScheduleConfig
from attentive_gconv.training.optim import make_optimizer, make_schedule


def rates(schedule_config: ScheduleConfig, accuracies: list[float]) -> list[float]:
    """The learning rate of each epoch."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer([parameter], OptimizerConfig("sgd", lr=1.0))
    schedule = make_schedule(optimizer, schedule_config, len(accuracies))
    seen = []
    for accuracy in accuracies:
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step(accuracy) if schedule_config.name == "plateau" else schedule.step()
    return seen


def test_constant():
    assert rates(ScheduleConfig(), [0.0] * 4) == [1.0] * 4


def test_multistep_changes_after_each_count_of_epochs():
    assert rates(ScheduleConfig("multistep", (1, 3), 0.1), [0.0] * 5) == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])


def test_plateau_waits_for_its_patience_and_counts_any_improvement():
    config = ScheduleConfig("plateau", gamma=0.5, patience=1)
    assert rates(config, [0.5, 0.5, 0.5, 0.5, 0.6]) == [1, 1, 1, 0.5, 0.5]
    assert rates(config, [0.5, 0.50001, 0.50002, 0.50003, 0.50004]) == [1] * 5


def test_the_optimizers_take_their_settings():
    parameter = nn.Parameter(torch.zeros(1))
    sgd = make_optimizer([parameter], OptimizerConfig("sgd", 0.1, 1e-3, 0.9))
    adam = make_optimizer([parameter], OptimizerConfig("adam", 0.2, 1e-4))
    assert isinstance(sgd, torch.optim.SGD)
    assert isinstance(adam, torch.optim.Adam)
    assert (sgd.defaults["lr"], sgd.defaults["weight_decay"], sgd.defaults["momentum"]) == (0.1, 1e-3, 0.9)
    assert (adam.defaults["lr"], adam.defaults["weight_decay"]) == (0.2, 1e-4)
