"""The script of the attention table: its rows can be built, finished runs are used, foreign ones refused."""

import importlib.util
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

import attentive_gconv as ag
from attentive_gconv.files import write_json
from attentive_gconv.training import RunFolder, load_recipe
from attentive_gconv.training.run_result import TrainResult

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "attention_table.py"
PARAMETERS = {
    "p4cnn": 24_610,
    "alpha": 73_130,
    "alpha_f": 29_462,
    "se": 27_012,
    "cbam": 29_462,
    "bam": 39_540,
    "residual": 45_842,
    "co_attention": 24_851,
}


@pytest.fixture(scope="module")
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attention_table", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def finished(folder: RunFolder, epochs: int = 2) -> RunFolder:
    config = load_recipe("digits", {"model.name": "p4cnn", "epochs": epochs, "seed": 1})
    folder.write_config(config)
    result = TrainResult(
        dataset="digits",
        model="p4cnn",
        parameters=24_610,
        protocol="validation",
        selection="",
        seed=1,
        epochs=epochs,
        test_images=10,
        test_error=0.1,
        best_epoch=2,
        valid_error=0.1,
        best_test=None,
        seconds_per_epoch=1.5,
    )
    write_json(folder.result_file, asdict(result))
    return folder


def test_every_row_is_a_network(table):
    for row in table.ROWS:
        model = ag.create_model(row.model, **row.options)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        assert parameters == PARAMETERS[row.name], row.name
        overrides = {f"model.{option}": value for option, value in row.options.items()}
        assert load_recipe("digits", {**overrides, "model.name": row.model}).model.options == row.options
    assert PARAMETERS.keys() <= {row.name for row in table.ROWS}


def test_finished_runs_are_not_repeated(table, tmp_path):
    folder = finished(RunFolder(tmp_path))
    before = folder.result_file.stat().st_mtime_ns
    result = table.run(table.ROWS[0], folder.read_config(), folder, Console(quiet=True))
    assert result["test_error"] == 0.1
    assert folder.result_file.stat().st_mtime_ns == before


def test_a_run_of_another_budget_is_refused(table, tmp_path):
    folder = finished(RunFolder(tmp_path))
    wanted = load_recipe("digits", {"model.name": "p4cnn", "epochs": 3, "seed": 1})
    with pytest.raises(SystemExit, match="epochs 2, not 3: give another --out"):
        table.run(table.ROWS[0], wanted, folder, Console(quiet=True))


def test_figures_of_a_row(table):
    results = [
        {"test_error": error, "parameters": 7, "best_epoch": 3, "epochs": 5, "seconds_per_epoch": seconds}
        for error, seconds in [(0.01, 1.0), (0.02, 9.0), (0.03, 2.0)]
    ]
    row = table.summary(table.ROWS[0], results)
    assert (row["mean"], row["std"], row["seconds_per_epoch"]) == (pytest.approx(2.0), pytest.approx(1.0), 2.0)
    assert (row["timed_epochs"], row["timed_apart"]) == (15, False)
    assert table.markdown([row]).splitlines()[-1] == "| p4-CNN | 2.00 ± 1.00 | 7 | 2.00 |"
    single = table.summary(table.ROWS[0], results[:1])
    assert single["std"] is None
    assert "| 1.00 |" in table.markdown([single])


def test_seconds_of_a_run_made_for_them_take_the_place_of_the_others(table):
    result = {"test_error": 0.01, "parameters": 7, "best_epoch": 3, "epochs": 5, "seconds_per_epoch": 9.0}
    timing = {"test_error": 0.9, "parameters": 7, "best_epoch": 1, "epochs": 2, "seconds_per_epoch": 3.0}
    row = table.summary(table.ROWS[0], [result], timing)
    assert (row["seconds_per_epoch"], row["timed_epochs"], row["timed_apart"]) == (3.0, 2, True)
    assert row["mean"] == pytest.approx(1.0)


def test_timing_makes_a_run_of_its_own_and_no_table(table, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(table, "run", lambda row, config, folder, console: made.append((row.name, config, folder.path)))
    arguments = ["--out", str(tmp_path), "--rows", "se", "alpha", "--timing-epochs", "2", "--seeds", "4"]
    monkeypatch.setattr(sys, "argv", ["attention_table", *arguments])
    table.main()
    assert [(name, path.name) for name, _, path in made] == [("se", "se-timing"), ("alpha", "alpha-timing")]
    assert [(config.epochs, config.seed) for _, config, _ in made] == [(2, 4), (2, 4)]
    assert list(tmp_path.iterdir()) == []
