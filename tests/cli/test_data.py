import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from attentive_gconv.cli.data import data_command
from noise_images import write_images

app = typer.Typer()
app.command("data")(data_command)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGCONV_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def run(*arguments: str) -> str:
    return CliRunner().invoke(app, arguments, catch_exceptions=False).stdout


def test_a_table() -> None:
    lines = run("digits").splitlines()
    assert "seed 0" in lines[0]
    rows = [line.replace("│", " ").split() for line in lines]
    assert ["all", "1,200", "200", "397"] in rows
    assert ["source", "embedded"] in rows
    assert ["images", "1", "×", "28", "×", "28"] in rows
    assert ["samples", "digits-samples.png"] in rows
    assert Path("digits-samples.png").is_file()


def test_json(tmp_path: Path) -> None:
    image = tmp_path / "other.png"
    facts = json.loads(run("digits", "--json", "--protocol", "paper", "--seed", "3", "--samples", str(image)))
    assert facts["samples"] == str(image)
    assert image.is_file()
    assert {name: split["images"] for name, split in facts["splits"].items()} == {"train": 1400, "test": 397}
    assert all(sum(split["per_class"]) == split["images"] for split in facts["splits"].values())
    assert facts["classes"] == list("0123456789")
    assert "seed 3" in facts["description"]
    assert facts["image_shape"] == [1, 28, 28]
    assert facts["cache"] is None
    assert list(Path().iterdir()) == []


def test_images_of_ones_own(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "own", {"train": {"cat": 10, "dog": 10}, "test": {"cat": 1, "dog": 2}})
    options = ["--dataset-dir", str(folder), "--image-size", "12", "--augmentation", "flip-crop", "--json"]
    facts = json.loads(run("image-folder", *options))
    assert (facts["name"], facts["image_shape"], facts["augmentation"]) == ("image-folder", [3, 12, 12], "flip-crop")
    assert facts["classes"] == ["cat", "dog"]
    assert {name: split["per_class"] for name, split in facts["splits"].items()} == {
        "train": [9, 9],
        "valid": [1, 1],
        "test": [1, 2],
    }
    assert Path("image-folder-samples.png").is_file()


def test_without_a_name_the_datasets_are_listed() -> None:
    assert "rot-mnist" in run()
    assert list(json.loads(run("--json"))) == ["cifar10", "digits", "elpv", "image-folder", "pcam", "rot-mnist"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digit"], "did you mean 'digits'"),
        (["digits", "--samples", "samples.gif"], "must end in .png"),
        (["rot-mnist", "--no-download"], "has no source"),
        (["cifar10", "--no-download"], "are both missing: put the archive there"),
        (["pcam", "--no-download"], "lacks camelyonpatch_level_2_split_train_x.h5.gz"),
        (["image-folder"], "`dataset_dir` is missing"),
        (["digits", "--source", "original"], "unknown source of digits 'original'"),
        (["--dataset-dir", "images"], "--dataset-dir has no meaning without a dataset: name one first"),
    ],
)
def test_errors_before_anything_is_written(arguments: list[str], message: str) -> None:
    with pytest.raises((ValueError, RuntimeError), match=message):
        run(*arguments)
    assert list(Path().iterdir()) == []
