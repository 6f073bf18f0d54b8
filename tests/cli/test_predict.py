import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageOps


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "grey.png", tmp_path / "colour.jpg"]
    # dark enough to bring no hint
    Image.effect_noise((40, 30), 60).point(lambda value: value // 3).save(paths[0])
    ImageOps.invert(Image.radial_gradient("L")).convert("RGB").save(paths[1])
    return paths


def test_a_table_names_file_class_and_probability(agconv, run, images):
    result = agconv("predict", run, *images)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["file", "class", "probability"]
    assert [line.split()[0] for line in lines[1:]] == [str(path) for path in images]
    assert lines[1].endswith("%")


def test_json(agconv, run, images):
    rows = json.loads(agconv("predict", run, *images, "--json", "--top", 3).stdout)
    assert [row["file"] for row in rows] == [str(path) for path in images]
    for row in rows:
        assert sum(guess["probability"] for guess in row["guesses"]) == pytest.approx(1)
        assert {guess["class"] for guess in row["guesses"]} == {"a", "b", "c"}
        assert row["error"] is None


def test_csv(agconv, run, images):
    rows = list(csv.DictReader(io.StringIO(agconv("predict", run, *images, "--csv", "--top", 2).stdout)))
    assert [(row["file"], row["rank"]) for row in rows] == [(str(path), rank) for path in images for rank in "12"]


def test_light_and_dark_and_the_fit_make_a_difference(agconv, run, images):
    def probabilities(*options: str) -> list[float]:
        rows = json.loads(agconv("predict", run, images[0], "--json", *options).stdout)
        return [guess["probability"] for guess in rows[0]["guesses"]]

    plain = probabilities()
    assert probabilities("--invert") != plain
    assert probabilities("--fit", "crop") != plain
    assert probabilities("--weights", "best") == plain


@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",)])
def test_a_broken_file_is_named_and_the_others_are_predicted(agconv, run, images, tmp_path, form):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    result = agconv("predict", run, images[0], broken, images[1], *form)
    assert result.exit_code == 1
    assert result.stderr == f"agconv: {broken}: this is no PNG or JPEG image\n"
    for path in images:
        assert str(path) in result.stdout
    assert (str(broken) in result.stdout) == (form != ())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--top", "4"), "top (=4) must lie between 1 and 3"),
        (("--csv", "--json"), "--csv and --json exclude each other"),
        (("--dataset", "digits"), "--dataset and --data-dir have no meaning"),
    ],
)
def test_bad_options_are_one_line(agconv, run, images, options, message):
    result = agconv("predict", run, *images, *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_dark_digits_on_white_bring_a_hint(agconv, run, tmp_path):
    Image.new("L", (28, 28), "white").save(tmp_path / "a.png")
    assert "try --invert" in agconv("predict", run, tmp_path / "a.png").stderr
    result = agconv("predict", run, tmp_path / "a.png", "--invert")
    assert (result.exit_code, result.stderr) == (0, "")


def test_images_must_be_given(agconv, run):
    assert agconv("predict", run).exit_code == 2
