"""What the package index shows: every link absolute or plain text, and no address that was made up."""

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RELATIVE = re.compile(r"\]\((?!\w+:)")


@pytest.fixture
def hook(monkeypatch):
    """hatch_build.py; hatchling itself is there only while the package is built."""
    interface = ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object
    monkeypatch.setitem(sys.modules, "hatchling", ModuleType("hatchling"))
    for name in ("hatchling.metadata", "hatchling.metadata.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "hatchling.metadata.plugin.interface", interface)
    specification = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_links_are_absolute_where_the_address_is_known(hook):
    text = hook.rendered(README, "https://example.org/ag")
    assert RELATIVE.search(README)
    assert not RELATIVE.search(text)
    assert "](https://example.org/ag/blob/main/docs/results.md#exactness)" in text
    assert re.search(r"!\[[^\]]+\]\(https://example.org/ag/raw/main/docs/figures/turning.gif\)", text)


def test_without_an_address_links_to_files_are_plain_text(hook):
    text = hook.rendered(README, "")
    assert not RELATIVE.search(text)
    assert "start page" in text
    assert hook.urls("") == {"Paper": hook.PAPER}


def test_the_metadata_are_taken_from_the_environment(hook, monkeypatch):
    metadata = {}
    builder = hook.RepositoryMetadata()
    builder.root = str(ROOT)
    monkeypatch.setenv("AGCONV_REPOSITORY", "https://example.org/ag/")
    builder.update(metadata)
    assert metadata["urls"]["Issues"] == "https://example.org/ag/issues"
    assert metadata["readme"]["text"] == hook.rendered(README, "https://example.org/ag")


def test_what_the_hook_adds_is_declared_dynamic():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["dynamic"]) == {"readme", "urls"}
    assert "readme" not in project
    assert "urls" not in project


def test_the_wheel_holds_what_the_package_reads(tmp_path):
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        (entry_points,) = (archive.read(name).decode() for name in held if name.endswith("entry_points.txt"))
    package = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "attentive_gconv").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in package if name.endswith((".yaml", ".safetensors", ".json", "py.typed"))}
    assert package <= held
    assert all(name.startswith("attentive_gconv") for name in held)
    assert any(name.endswith("licenses/LICENSE") for name in held)
    assert "agconv = attentive_gconv.cli:main" in entry_points
