"""Package, changelog, citation and documentation speak of the same version."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import yaml

import attentive_gconv as ag

ROOT = Path(__file__).parents[2]


def test_the_package_has_the_version_of_its_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == ag.__version__
    assert metadata.version("attentive-gconv") == ag.__version__


def test_the_newest_entry_of_the_changelog_is_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(
        version for version in re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE) if version[0].isdigit()
    )
    assert newest == ag.__version__


def test_the_citation_is_of_this_version_and_of_the_readmes_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == ag.__version__
    paper = citation["preferred-citation"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert paper["title"] in readme
    assert f"{paper['start']}--{paper['end']}" in readme
    assert all(author["family-names"] in readme for author in paper["authors"])


def test_the_supported_versions_of_the_readme_are_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    torch = next(item for item in project["dependencies"] if item.startswith("torch"))
    assert f"Python ≥ {project['requires-python'].removeprefix('>=')}" in readme
    assert f"torch ≥ {torch.removeprefix('torch>=')}" in readme
