"""Metadata of the package that depend on where its repository is: addresses, and the README's links.

The repository has no public address yet, and none is made up: ``AGCONV_REPOSITORY=https://... python -m build`` gives
the one of a release. With it the README's links to files of the repository are made absolute, as the package index
needs them; without it they become plain text, so that the index shows no dead link.
"""

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PAPER = "https://arxiv.org/abs/2002.03830"
IMAGE = re.compile(r"!\[([^\]]*)\]\((?!\w+:)([^)\s]+)\)\n*")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:)([^)\s]+)\)")


def rendered(text: str, repository: str) -> str:
    """The README as the package index shows it, with absolute links, or without those to the repository."""
    if not repository:
        return LINK.sub(r"\1", IMAGE.sub("", text))
    text = IMAGE.sub(rf"![\1]({repository}/raw/main/\2)\n\n", text)
    return LINK.sub(lambda match: f"[{match[1]}]({_address(match[2], repository)})", text)


def _address(target: str, repository: str) -> str:
    return f"{repository}#{target[1:]}" if target.startswith("#") else f"{repository}/blob/main/{target}"


def urls(repository: str) -> dict[str, str]:
    """The addresses that the package index lists."""
    if not repository:
        return {"Paper": PAPER}
    return {
        "Homepage": repository,
        "Documentation": f"{repository}/blob/main/docs/index.md",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Issues": f"{repository}/issues",
        "Paper": PAPER,
    }


class RepositoryMetadata(MetadataHookInterface):
    """What hatchling calls."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README and the addresses."""
        repository = os.environ.get("AGCONV_REPOSITORY", "").rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": rendered(text, repository)}
        metadata["urls"] = urls(repository)
