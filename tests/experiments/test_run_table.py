import csv
import io

import pytest
from PIL import Image

from attentive_gconv.experiments.published import HOW, PUBLISHED, UNPROVEN
from attentive_gconv.experiments.run_table import Spread, Table
from attentive_gconv.models import list_models


def result(model, seed, error, **others):
    return {
        "dataset": "rot-mnist",
        "model": model,
        "parameters": 24_610,
        "protocol": "validation",
        "seed": seed,
        "epochs": 100,
        "test_images": 50_000,
        "test_error": error,
        "best_test": None,
        **others,
    }


def table(protocol="validation", dataset="rot-mnist", models=("p4cnn", "alpha_f_p4cnn", "z2cnn"), **options):
    return Table(dataset, protocol, "100 epochs", models, 3, **options)


DATA = "rot-MNIST, re-made from MNIST, seed 0"


def test_mean_and_sample_deviation_in_per_cent():
    assert Spread.of([0.01, 0.02, 0.03]) == Spread(pytest.approx(2.0), pytest.approx(1.0))
    assert Spread.of([0.015]) == Spread(1.5, None)
    assert str(Spread.of([0.015])) == "1.50"


@pytest.fixture
def filled() -> Table:
    made = table()
    for seed, error in ((2, 0.03), (0, 0.01), (1, 0.02)):
        made.add(result("p4cnn", seed, error), DATA)
    made.add(result("z2cnn", 0, 0.05), DATA)
    return made


def test_ours_stand_beside_the_published_ones(filled):
    text = filled.markdown()
    assert "| `p4cnn` | 24,610 | 3 | 2.00 ± 1.00 | 2.048 ± 0.045 |" in text
    assert "| `z2cnn` | 24,610 | 1 | 5.00 | – |" in text
    assert "alpha_f_p4cnn" not in text
    for stated in ("Protocol `validation`", "each network gets 3", DATA, "50,000 test images", "100 epochs"):
        assert stated in text
    assert HOW["rot-mnist"] in text


def test_epochs_are_a_column_where_they_differ(filled):
    assert "epochs |" not in filled.markdown()
    filled.add(result("alpha_f_p4cnn", 0, 0.02, epochs=90), DATA)
    lines = filled.markdown().splitlines()
    assert "| network | parameters | epochs | seeds | test error, % | published, % |" in lines
    assert "| `p4cnn` | 24,610 | 100 | 3 | 2.00 ± 1.00 | 2.048 ± 0.045 |" in lines
    assert "| `alpha_f_p4cnn` | 24,610 | 90 | 1 | 2.00 | 1.795 ± 0.028 |" in lines


def test_for_machines(filled):
    rows = list(csv.DictReader(io.StringIO(filled.csv())))
    assert [row["model"] for row in rows] == ["p4cnn", "z2cnn"]
    first = rows[0]
    assert (first["seeds"], first["errors"]) == ("0 1 2", "1.0000 2.0000 3.0000")
    assert (first["mean"], first["std"], first["published"], first["published_std"]) == (
        *("2.0000", "1.0000", "2.0480", "0.0450"),
    )
    assert (rows[1]["std"], rows[1]["published"], rows[1]["protocol"]) == ("", "", "validation")


def test_three_files_are_written(filled, tmp_path):
    filled.write(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["table.csv", "table.md", "table.png"]
    with Image.open(tmp_path / "new" / "table.png") as image:
        assert len(image.convert("RGB").getcolors(10**6)) > 10
    assert (tmp_path / "new" / "table.csv").read_text() == filled.csv()


def test_the_papers_protocol_shows_what_is_selected_on_the_test_set():
    made = table("paper")
    for seed, error in ((0, 0.02), (1, 0.03)):
        best = {"epoch": 3, "test_error": error - 0.01}
        made.add(result("p4cnn", seed, error, protocol="paper", best_test=best), DATA)
    text = made.markdown()
    assert "| best test epoch, % |" in text
    assert "| `p4cnn` | 24,610 | 2 | 2.50 ± 0.71 | 1.50 ± 0.71 | 2.048 ± 0.045 |" in text
    assert "selected on the test set" in text


@pytest.mark.parametrize(
    ("changed", "data", "message"),
    [
        ({"protocol": "paper"}, DATA, "protocol 'paper' does not belong to a table of protocol 'validation'"),
        ({"dataset": "digits"}, DATA, "dataset 'digits' does not belong"),
        ({"model": "p4mcnn"}, DATA, "run of 'p4mcnn' does not belong"),
        ({}, "rot-MNIST, the original archive", "'rot-MNIST, the original archive' does not belong"),
    ],
)
def test_nothing_is_mixed(filled, changed, data, message):
    before = filled.csv()
    with pytest.raises(ValueError, match=message):
        filled.add({**result("p4cnn", 5, 0.5), **changed}, data)
    assert filled.csv() == before


def test_other_settings_are_not_set_beside_published_figures():
    made = table(comparable=False)
    made.add(result("p4cnn", 0, 0.02), DATA)
    assert "2.048" not in made.markdown() + made.csv()
    assert "No published figures beside these" in made.markdown()


def test_the_unproven_row_says_so():
    made = table(dataset="pcam", models=("alpha_f_p4m_densenet",))
    made.add(result("alpha_f_p4m_densenet", 0, 0.1, dataset="pcam"), "PatchCamelyon, official split")
    assert "| 10.00 | 10.88¹ |" in made.markdown()
    assert f"¹ {UNPROVEN}." in made.markdown()
    assert UNPROVEN in made.csv()


def test_published_figures_are_of_networks_that_there_are():
    for dataset, rows in PUBLISHED.items():
        assert set(rows) <= set(list_models())
        assert dataset in HOW


def test_cifar10_with_augmentation_has_published_figures_of_its_own():
    made = table(dataset="cifar10", models=("p4_allcnnc", "alpha_f_p4m_allcnnc"), published_as="cifar10+")
    for model in ("p4_allcnnc", "alpha_f_p4m_allcnnc"):
        made.add(result(model, 0, 0.1, dataset="cifar10"), "CIFAR-10")
    text = made.markdown()
    assert "| 10.00 | 8.91¹ |" in text
    assert "| 10.00 | 6.53² |" in text
    assert "¹ recalled" in text
    assert "² confirmed by the authors' own log" in text


def test_who_introduced_the_densenets_reports_less_error():
    made = table(dataset="pcam", models=("p4m_densenet", "alpha_f_p4_densenet"))
    for model in ("p4m_densenet", "alpha_f_p4_densenet"):
        made.add(result(model, 0, 0.1, dataset="pcam"), "PatchCamelyon")
    text = made.markdown()
    assert "| published, % | Veeling et al. 2018, % |" in text
    assert "| 10.00 | 11.64 | 10.2 |" in text
    assert "| 10.00 | 11.34 | – |" in text
    assert "accuracy 89.8 %" in text
