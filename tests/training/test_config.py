import pytest

from attentive_gconv.training.config import (
    ConfigError,
    DatasetConfig,
    ModelConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)

DATASET, MODEL = DatasetConfig("digits"), ModelConfig("p4cnn")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DatasetConfig(""), "dataset.name .*`agconv data`"),
        (lambda: DatasetConfig("digits", seed=-1), r"dataset.seed \(=-1\)"),
        (lambda: ModelConfig(""), "model.name .*`agconv models`"),
        (lambda: ModelConfig("p4cnn", {"num_classes": 3}), r"model.num_classes \(=3\).*follows from the dataset"),
        (lambda: OptimizerConfig(lr=0.0), r"optimizer.lr \(=0.0\) must be greater than 0"),
        (lambda: OptimizerConfig(weight_decay=-1.0), r"optimizer.weight_decay \(=-1.0\)"),
        (lambda: OptimizerConfig("adam", momentum=0.9), r"optimizer.momentum \(=0.9\).*take sgd"),
        (lambda: OptimizerConfig("sgd", momentum=1.0), r"optimizer.momentum \(=1.0\).*below 1"),
        (lambda: ScheduleConfig("multistep", milestones=(5,)), "schedule.gamma .*is needed by schedule.name=multistep"),
        (lambda: ScheduleConfig("plateau", gamma=0.5), "schedule.patience .*is needed"),
        (lambda: ScheduleConfig("constant", gamma=0.5), r"schedule.gamma \(=0.5\).*schedule=\{name: constant\}"),
        (lambda: ScheduleConfig("multistep", (5, 3), 0.1), r"schedule.milestones \(=\[5, 3\]\).*ascending"),
        (lambda: ScheduleConfig("multistep", (0, 3), 0.1), "schedule.milestones"),
        (lambda: ScheduleConfig("plateau", None, 1.5, 2), r"schedule.gamma \(=1.5\)"),
        (lambda: ScheduleConfig("plateau", None, 0.5, -2), r"schedule.patience \(=-2\)"),
        (lambda: TrainConfig(DATASET, MODEL, epochs=0, batch_size=8), r"epochs \(=0\) must be at least 1"),
        (lambda: TrainConfig(DATASET, MODEL, epochs=1, batch_size=0), r"batch_size \(=0\)"),
        (lambda: TrainConfig(DATASET, MODEL, 1, 8, seed=2**32), "seed .*between 0 and"),
        (lambda: TrainConfig(DATASET, MODEL, 1, 8, workers=-1), r"workers \(=-1\)"),
        (lambda: TrainConfig(DATASET, MODEL, 1, 8, accelerator="gpus"), r"accelerator \(='gpus'\) is none of auto"),
        (lambda: TrainConfig(DATASET, MODEL, 1, 8, devices=0), r"devices \(=0\)"),
        (
            lambda: TrainConfig(DATASET, MODEL, 1, 9, devices=2),
            r"batch_size \(=9\) must be a multiple of devices x num_nodes x accumulate \(=2\)",
        ),
        (
            lambda: TrainConfig(DATASET, MODEL, 1, 16, devices=2, num_nodes=2, accumulate=8),
            r"batch_size \(=16\) must be a multiple of .* \(=32\)",
        ),
        (lambda: TrainConfig(DATASET, MODEL, 1, 8, num_nodes=0), r"num_nodes \(=0\) must be at least 1"),
        (lambda: TrainConfig(DATASET, MODEL, 1, 8, accumulate=0), r"accumulate \(=0\) must be at least 1"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_a_remedy(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_settings_that_fit_are_taken():
    schedule = ScheduleConfig("multistep", milestones=(50, 100), gamma=0.1)
    config = TrainConfig(DATASET, MODEL, 1, 8, OptimizerConfig("sgd", 0.05, momentum=0.9), schedule)
    assert config.schedule.milestones == (50, 100)
    assert config.protocol == "validation"
