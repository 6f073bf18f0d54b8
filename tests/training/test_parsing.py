import pytest

from attentive_gconv.settings import ConfigError
from attentive_gconv.training.parsing import config_from_mapping, config_to_mapping

SETTINGS = {
    "dataset": {"name": "digits"},
    "model": {"name": "p4cnn", "channels": 3},
    "epochs": 2,
    "batch_size": 8,
    "optimizer": {"name": "sgd", "lr": 1, "momentum": 0.9},
    "schedule": {"name": "multistep", "milestones": [1, 2], "gamma": 0.5},
}


def test_values_become_those_of_the_fields():
    config = config_from_mapping(SETTINGS)
    assert config.model.options == {"channels": 3}
    assert config.schedule.milestones == (1, 2)
    assert isinstance(config.optimizer.lr, float)


def test_a_config_survives_the_way_to_plain_values_and_back():
    config = config_from_mapping(SETTINGS)
    assert config_from_mapping(config_to_mapping(config)) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, "unknown field 'epoch': did you mean 'epochs'"),
        ({"optimizer": {"learning_rate": 1}}, "unknown field 'optimizer.learning_rate'.*optimizer.lr"),
        ({"epochs": "ten"}, r"epochs \(='ten'\) must be a whole number"),
        ({"epochs": 2.0}, r"epochs \(=2.0\) must be a whole number"),
        ({"epochs": True}, r"epochs \(=True\) must be a whole number"),
        ({"deterministic": 1}, r"deterministic \(=1\) must be true or false"),
        ({"optimizer": {"lr": "fast"}}, r"optimizer.lr \(='fast'\) must be a finite number"),
        ({"optimizer": {"lr": float("inf")}}, r"optimizer.lr \(=inf\) must be a finite number"),
        (
            {"optimizer": {"name": "lion"}},
            r"unknown optimizer.name 'lion': .*Known in torch.optim are adam, sgd, ",
        ),
        ({"dataset": {"name": "digits", "augmentation_options": 3}}, r"augmentation_options \(=3\) must be a section"),
        ({"optimizer": "adam"}, r"optimizer \(='adam'\) must be a section"),
        (
            {"schedule": {"name": "multistep", "milestones": 3, "gamma": 0.1}},
            r"schedule.milestones \(=3\) must be a list",
        ),
        ({"schedule": {"name": "multistep", "milestones": [1.5], "gamma": 0.1}}, r"schedule.milestones\[0\] \(=1.5\)"),
        ({"model": {"name": "p4cnn", "width": {"a": 1}}}, r"model.width \(=\{'a': 1\}\)"),
        ({"model": {"channels": 3}}, "model.name is missing.*--set model.name="),
        ({"dataset": None}, r"dataset \(=None\) must be a section"),
        ({"protocol": "test"}, r"protocol \(='test'\) must be one of validation, final, paper"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_dotted_name(changes, message):
    with pytest.raises(ValueError, match=message):
        config_from_mapping(SETTINGS | changes)


def test_a_missing_field_is_named():
    with pytest.raises(ConfigError, match="epochs is missing"):
        config_from_mapping({name: value for name, value in SETTINGS.items() if name != "epochs"})
