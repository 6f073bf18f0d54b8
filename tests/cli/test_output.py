"""Names and paths are printed as they are, whatever rich or an encoding would make of them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from attentive_gconv.cli.output import plain_console, plain_table
from attentive_gconv.data.datasets import DATASETS

NAMES = ("c [red]", "[/bold]", ":smile:", r"\[x]")


@pytest.fixture
def odd_names(tiny, monkeypatch):
    """The dataset ``tiny`` with class names that rich would read as markup."""
    entry = DATASETS["tiny"]
    monkeypatch.setitem(
        DATASETS, "tiny", replace(entry, load=lambda request: replace(entry.load(request), classes=NAMES[:3]))
    )


def test_text_is_shown_as_it_is(capsys):
    table = plain_table(*NAMES, numbers={1})
    table.add_texts(*NAMES)
    plain_console(width=200).print(table)
    plain_console(width=200).print(" ".join(NAMES))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == lines[1].split() == lines[2].split() == " ".join(NAMES).split()


def test_no_command_goes_past_the_plain_console():
    folder = Path(plain_console.__code__.co_filename).parent
    sources = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.py") if path.name != "output.py"}
    assert len(sources) > 10
    assert [name for name, text in sources.items() if "rich.table" in text or "Console(" in text] == []


def test_class_names_and_paths_of_a_run(odd_names, agconv, tmp_path):
    from tiny import RECIPE

    folder = tmp_path / "run [bold]"
    trained = agconv("train", "--recipe", RECIPE, "--epochs", 1, "--out", folder)
    assert trained.exit_code == 0, trained.stderr
    assert f"next: agconv evaluate '{folder}'" in trained.stdout
    evaluated = agconv("evaluate", folder, "--confusion").stdout
    for name in NAMES[:3]:
        assert evaluated.count(name) == 3
    image = tmp_path / "[i]a.png"
    Image.new("L", (28, 28)).save(image)
    assert str(image) in agconv("predict", folder, image).stdout
    assert any(name in agconv("predict", folder, image).stdout for name in NAMES[:3])


def call(*arguments: str | bytes) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "attentive_gconv", *arguments], capture_output=True)


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere take Unicode names alone")
def test_file_names_that_are_no_utf_8(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"digit-\xff.png")
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    os.rename(tmp_path / "a.png", path)
    done = call("predict", path)
    assert done.returncode == 0, done.stderr
    assert path in done.stdout
    done = call("predict", path, "--json")
    assert done.returncode == 0, done.stderr
    assert os.fsencode(json.loads(done.stdout.decode(errors="surrogateescape"))[0]["file"]) == path


def test_a_name_that_cannot_be_written_is_named(agconv, monkeypatch):
    from attentive_gconv.cli import app as app_module

    def command() -> None:
        "runs/\udcff/a".encode()

    monkeypatch.setattr(app_module.app, "registered_commands", [])
    app_module.app.command("fail")(command)
    app_module.app.command("other")(lambda: None)
    result = agconv("fail")
    assert result.exit_code == 1
    assert r"the name in 'runs/\udcff/a' is no UTF-8 and cannot be written: rename that file or folder" in result.stderr
