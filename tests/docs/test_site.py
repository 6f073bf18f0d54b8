"""The site builds strictly, has a page for every public name, loads nothing from outside, and can be searched."""

import importlib
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PUBLIC_NAMES = (ROOT / "tests" / "public_names.txt").read_text(encoding="utf-8").split()
# what a browser fetches by itself; links that a reader may follow are no loads
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\bsrc=["']?(\w+:)?//"""
    r"""|<link[^>]*\bhref=["']?(\w+:)?//|@import|url\((?:\w+:)?//"""
)
TERMS = [
    *("gradient accumulation", "confusion matrix", "activation checkpointing", "mixed precision", "data augmentation"),
    *("validation set", "input attention", "full attention", "transfer learning", "reference implementation"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="needs mkdocs (extra docs)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_the_page_for_the_browser_is_there_built_or_not(site: Path) -> None:
    built = ROOT / "build" / "browser-page.html"
    page = (site / "browser-page.html").read_bytes()
    assert page == built.read_bytes() if built.exists() else b"examples/browser_page/build.py --out" in page
    assert 'href="../browser-page.html"' in (site / "guides" / "browser.html").read_text(encoding="utf-8")


def documented(folder: Path) -> set[str]:
    """The names of the inventory, which is what mkdocstrings made an entry for."""
    content = (folder / "objects.inv").read_bytes()
    lines = zlib.decompress(content.split(b"\n", 4)[4]).decode()
    return {line.split(" ", 1)[0] for line in lines.splitlines()}


def is_module(name: str) -> bool:
    package, _, attribute = name.rpartition(".")
    return isinstance(getattr(importlib.import_module(package), attribute), ModuleType)


def test_every_public_name_has_an_entry(site: Path) -> None:
    missing = [name for name in PUBLIC_NAMES if name not in documented(site) and not is_module(name)]
    assert not missing, f"add these to a page of docs/reference/api: {missing}"


def test_nothing_is_loaded_from_outside(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 30
    assert [str(page.relative_to(site)) for page in pages if LOADED.search(page.read_text(encoding="utf-8"))] == []


def test_no_page_names_a_folder_of_the_machine_that_built_it(site: Path) -> None:
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert [str(page.relative_to(site)) for page, text in pages.items() if str(ROOT) in text] == []


@pytest.mark.parametrize("term", TERMS)
def test_the_fields_words_are_found(site: Path, term: str) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", " ".join(entry["text"] + " " + entry["title"] for entry in index["docs"]))
    assert term in text.lower()
