"""ARCHITECTURE.md names every package, in the order of their imports, and every file that it names is there."""

import re
from pathlib import Path

import attentive_gconv as ag

ROOT = Path(__file__).parents[2]
PACKAGE = Path(ag.__file__).parent
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ROOMS = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", TEXT, re.MULTILINE)


def test_every_package_is_listed():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(ROOMS) == sorted({*packages, "testing"})


def test_each_imports_only_from_those_above_it():
    for position, room in enumerate(ROOMS):
        for path in [PACKAGE / f"{room}.py", *PACKAGE.glob(f"{room}/**/*.py")]:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            imported = set(re.findall(r"^\s*from attentive_gconv\.(\w+)", text, re.MULTILINE)) & set(ROOMS)
            below = [name for name in imported if ROOMS.index(name) > position]
            assert not below, f"{path.relative_to(PACKAGE)} imports {below}"


def test_files_and_folders_that_are_named_exist():
    for name in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", TEXT):
        assert (PACKAGE / name).exists() or (ROOT / name).exists(), name
