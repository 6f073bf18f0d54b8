import os
from pathlib import Path

import pytest

from attentive_gconv.data import list_datasets
from attentive_gconv.models import list_models
from attentive_gconv.settings import ConfigError
from attentive_gconv.training.config import OptimizerConfig, ScheduleConfig
from attentive_gconv.training.recipe import list_recipes, load_recipe, parse_override
from attentive_gconv.yaml_settings import dump_settings, read_settings, signed


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return path


def test_the_recipe_for_rot_mnist_is_that_of_the_paper():
    config = load_recipe("rot-mnist")
    assert (config.epochs, config.batch_size, config.protocol) == (100, 128, "validation")
    assert (config.optimizer.name, config.optimizer.lr, config.optimizer.weight_decay) == ("adam", 1e-3, 1e-4)
    assert config.schedule.name == "constant"


@pytest.mark.parametrize("model", list_models("*allcnnc"))
def test_the_recipe_of_the_all_cnns_is_that_of_the_paper(model):
    config = load_recipe("cifar10", {"model.name": model})
    assert (config.epochs, config.batch_size, config.dataset.augmentation) == (350, 128, "none")
    assert config.optimizer == OptimizerConfig("sgd", lr=0.05, weight_decay=1e-3, momentum=0.9)
    assert config.schedule == ScheduleConfig("multistep", milestones=(200, 250, 300), gamma=0.1)


@pytest.mark.parametrize("model", list_models("*resnet44"))
def test_the_recipe_of_the_resnets_is_that_of_the_paper(model):
    config = load_recipe("cifar10", {"model.name": model})
    assert (config.epochs, config.batch_size) == (300, 128)
    assert config.optimizer == OptimizerConfig("sgd", lr=0.05, weight_decay=0.0, momentum=0.9)
    assert config.schedule == ScheduleConfig("multistep", milestones=(50, 100, 150), gamma=0.1)


@pytest.mark.parametrize("model", list_models("*densenet"))
def test_the_recipe_for_pcam_is_that_of_the_paper(model):
    config = load_recipe("pcam", {"model.name": model})
    assert (config.epochs, config.batch_size, config.protocol) == (100, 64, "validation")
    assert config.optimizer == OptimizerConfig("adam", lr=1e-3, weight_decay=1e-4)
    assert config.schedule == ScheduleConfig("plateau", gamma=0.5, patience=20)


@pytest.mark.parametrize(("model", "epochs"), [("z2cnn", 300), ("p4cnn", 100), ("alpha_p4cnn", 100)])
def test_what_differs_for_a_network_is_taken_from_the_recipe(model, epochs):
    assert load_recipe("rot-mnist", {"model.name": model}).epochs == epochs


def test_an_override_wins_over_what_differs_for_a_network():
    assert load_recipe("rot-mnist", {"model.name": "z2cnn", "epochs": 7}).epochs == 7


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_of_the_library_is_usable(name):
    config = load_recipe(name)
    assert config.model.name in list_models()
    # NAME or, where a dataset has several recipes, NAME-VARIANT
    assert name.startswith(config.dataset.name)
    assert config.dataset.name in list_datasets()


def test_differences_are_laid_over_sections_in_the_order_of_the_file(tmp_path):
    path = write(
        tmp_path,
        """
        dataset: {name: digits}
        model: {name: p4cnn}
        epochs: 1
        batch_size: 8
        optimizer: {name: sgd, lr: 1e-1, momentum: 0.9}
        models:
          "*p4cnn": {epochs: 2, optimizer: {lr: 1e-2}}
          "alpha_*": {epochs: 3}
        """,
    )
    plain, alpha = load_recipe(path), load_recipe(path, {"model.name": "alpha_f_p4cnn"})
    assert (plain.epochs, plain.optimizer.lr, plain.optimizer.momentum) == (2, 0.01, 0.9)
    assert (alpha.epochs, alpha.optimizer.lr) == (3, 0.01)


def test_a_mapping_replaces_a_whole_section():
    path = "rot-mnist"
    schedule = {"name": "multistep", "milestones": [5], "gamma": 0.1}
    assert load_recipe(path, {"schedule": schedule}).schedule.milestones == (5,)
    assert load_recipe(path, {"schedule": {"name": "constant"}}).schedule.milestones is None


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("optimizer.lr=3e-4", "optimizer.lr", 3e-4),
        ("optimizer.lr=1E3", "optimizer.lr", 1000.0),
        ("model.channels=15", "model.channels", 15),
        ("model.group=p4", "model.group", "p4"),
        ("schedule.gamma=null", "schedule.gamma", None),
        ("schedule={name: constant}", "schedule", {"name": "constant"}),
        ("dataset.dir=a=b", "dataset.dir", "a=b"),
    ],
)
def test_overrides_are_read_as_yaml(text, field, value):
    assert parse_override(text) == (field, value)


@pytest.mark.parametrize("text", ["optimizer.lr", "=3", "a..b=3", "model.channels=[1", "a b=1"])
def test_an_override_without_field_or_value_is_refused(text):
    with pytest.raises(ConfigError, match="--set"):
        parse_override(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 1\nepochs: 2", "'epochs' occurs twice"),
        ("model: {name: a, name: b}", "'name' occurs twice"),
        ("epochs: [1", "not a readable recipe"),
        ("1: 2", "must be a word"),
        ("- epochs", "`field: value` lines"),
        ("!!python/object/apply:os.system ['true']", "not a readable recipe"),
        ("models: [1]", "models .*must map names of networks"),
        ("model: {name: p4cnn}\nmodels: {p4cnn: {model: {name: z2cnn}}}", "models.p4cnn.model.name"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe(write(tmp_path, text))


def test_a_huge_file_is_not_read(tmp_path):
    with pytest.raises(ConfigError, match="larger than"):
        load_recipe(write(tmp_path, "#" * 2_000_000))


def test_an_unknown_recipe_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(
        ConfigError, match="no recipe for 'mnist', only for cifar10, digits, elpv, image-folder, pcam, rot-mnist"
    ):
        load_recipe("mnist")
    with pytest.raises(FileNotFoundError, match=r"missing\.yaml"):
        load_recipe(tmp_path / "missing.yaml")


def test_an_override_into_a_value_that_is_no_section_is_refused():
    with pytest.raises(ConfigError, match=r"epochs.more: epochs \(=100\) is not a section"):
        load_recipe("rot-mnist", {"epochs.more": 1})


@pytest.mark.parametrize("value", ["1e-3", "3", "null", "yes", 1e-5, 1e22, 0.1, None, [1, 2], "ä: b"])
def test_settings_survive_being_written(tmp_path, value):
    path = write(tmp_path, dump_settings({"a": {"b": value}}))
    assert read_settings(path) == {"a": {"b": value}}


@pytest.mark.parametrize("number", ["010", "0x10", "0b11", "1:30", "2020-01-01"])
def test_numbers_are_decimal(number):
    """`epochs: 010` trained 8 epochs."""
    assert parse_override(f"epochs={number}") == ("epochs", number)
    with pytest.raises(ConfigError, match=rf"epochs \(='{number}'\) must be a whole number"):
        load_recipe("digits", {"epochs": parse_override(f"epochs={number}")[1]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x\n", r"aliases \(\*name\) are not allowed"),
        ("a: &x [*x]\n", r"aliases \(\*name\) are not allowed"),
        ("a: " + "[" * 21 + "]" * 21, "nested more than 20 levels deep"),
        ("[" * 50_000, "nested more than 20 levels deep"),
        ("".join(f"k{i}: 1\n" for i in range(60_000)), "is larger than 100,000 bytes"),
    ],
)
def test_what_would_take_minutes_is_refused_at_once(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_recipe(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
def test_a_pipe_is_no_recipe(tmp_path):
    os.mkfifo(tmp_path / "r.yaml")
    with pytest.raises(ConfigError, match="is not a regular file"):
        load_recipe(tmp_path / "r.yaml")


def test_deep_and_self_referring_values_are_refused():
    with pytest.raises(ConfigError, match="nested more than 20 levels"):
        parse_override("model.a=" + "[" * 3000 + "]" * 3000)
    loop: list = []
    loop.append(loop)
    with pytest.raises(ConfigError, match="nested too deeply, or hold themselves"):
        load_recipe("digits", {"model.a": loop})


@pytest.mark.parametrize("field", ["workers", "devices", "num_nodes", "accumulate", "dataset.image_size"])
def test_counts_have_limits(field):
    with pytest.raises(ConfigError, match=rf"{field} \(=100000\) must (be at most|lie between 1 and) 4096"):
        load_recipe("digits", {"model.name": "p4cnn", field: 100_000})


def test_settings_that_were_changed_after_they_were_signed_are_refused(tmp_path):
    path, text = tmp_path / "config.yaml", dump_settings({"epochs": 3, "name": "é"})
    path.write_text(signed(text), encoding="utf-8")
    assert read_settings(path, verify=True) == {"epochs": 3, "name": "é"}
    path.write_text(signed(text).replace("3", "8", 1), encoding="utf-8")
    with pytest.raises(ConfigError, match="another sha256 than it says; restore it, or remove its last line"):
        read_settings(path, verify=True)
    assert read_settings(path)["epochs"] == 8  # as a recipe, it may be changed


@pytest.mark.parametrize("value", ["!!int ''", "!!bool abc", "!!timestamp abc", "!!set {a}", "!!binary aGk=", "!own 1"])
def test_tags_are_refused(tmp_path, value):
    """The first three ended in tracebacks; sets, bytes and dates got into the settings of a run."""
    with pytest.raises(ConfigError, match=r"tags \(.*\) are not allowed in recipes"):
        load_recipe(write(tmp_path, f"epochs: {value}\n"))
    with pytest.raises(ConfigError, match=r"tags \(.*\) are not allowed in recipes"):
        parse_override(f"epochs={value}")


@pytest.mark.parametrize("value", ["", "5", "[1]"])
def test_differences_of_a_network_that_are_no_section(tmp_path, value):
    """`"name" in None` ended in a traceback."""
    text = "dataset: {name: digits}\nmodel: {name: p4cnn}\nepochs: 1\nbatch_size: 8\n"
    text += f"models: {{'*': {{model: {value}}}}}"
    with pytest.raises(ConfigError, match=r"model \(=.*\) must be a section"):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize("field", ["epochs", "batch_size", "evaluate_every", "evaluate_from"])
def test_epochs_and_batches_have_limits(field):
    with pytest.raises(ConfigError, match=rf"{field} \(=10000000\) must be at most 1000000"):
        load_recipe("digits", {"model.name": "p4cnn", field: 10_000_000})


HUGE = 10**400


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer.lr": HUGE}, r"optimizer.lr \(=1000.*\) must be a finite number"),
        ({"model.channels": HUGE}, r"model.channels \(=1000.*\) must be a number"),
        ({"optimizer": {"name": "AdamW", "eps": HUGE}}, r"optimizer.eps \(=1000.*\) must be a number"),
        ({"dataset.augmentation_options": {"degrees": float("nan")}}, r"degrees \(=nan\) must be a number"),
        ({"dataset.augmentation_options": {"degrees": b"1"}}, r"degrees \(=b'1'\) must be a number"),
    ],
)
def test_values_that_no_run_can_use_are_refused(settings, message):
    """Integers of more than 308 digits ended in an OverflowError."""
    with pytest.raises(ConfigError, match=message):
        load_recipe("digits", {"model.name": "p4cnn", **settings})
