"""Pages of the site for files of the repository that lie outside docs/: source, tests, figures, ARCHITECTURE.md.

Pages link to such files by their path in the repository, which is what GitHub and editors follow. The site is whole
without either: every file that a page links to becomes a page of its own (Markdown, code) or is copied (everything
else), and the links are changed to it. A link to a file that does not exist is left as it is: the strict build refuses
it.
"""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "repository"
ALWAYS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".cff": "yaml"}
LINK = re.compile(r"(\]\(\s*)([^)\s#]+)([^)\s]*\s*\))")


def links(text: str, page: str) -> dict[str, str]:
    """The relative links of a page to files of the repository: as written, and the path in the repository."""
    found = {}
    for _, target, _ in LINK.findall(text):
        path = os.path.normpath(os.path.join(os.path.dirname(page), target))
        if not re.match(r"\w+:", target) and not path.startswith("..") and (ROOT / path).exists():
            found[target] = path
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page, or a copy, for every file outside docs/ that is linked to, and for what those link to."""
    written = [f"docs/{file.src_uri}" for file in files.documentation_pages() if file.generated_by is None]
    todo = [*ALWAYS, *(path for page in written if page.endswith(".md") for path in _linked(page))]
    seen: set[str] = set()
    while todo:
        path = todo.pop()
        if path in seen or not (ROOT / path).is_file():
            continue
        seen.add(path)
        if path.endswith(".md"):
            todo += _linked(path)
            files.append(File.generated(config, f"{FOLDER}/{path}", content=(ROOT / path).read_text(encoding="utf-8")))
        elif language := LANGUAGES.get(PurePosixPath(path).suffix):
            code = (ROOT / path).read_text(encoding="utf-8")
            content = f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n````{language}\n{code}````\n"
            files.append(File.generated(config, f"{FOLDER}/{path}.md", content=content))
        else:
            files.append(File.generated(config, f"{FOLDER}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change the links that leave docs/ to the pages made for them."""
    uri = page.file.src_uri
    origin = uri.removeprefix(f"{FOLDER}/") if uri.startswith(f"{FOLDER}/") else f"docs/{uri}"
    targets = links(markdown, origin)

    def changed(match: re.Match[str]) -> str:
        path = targets.get(match[2])
        if path is None or match[2].startswith("#"):
            return match[0]
        if path.startswith("docs/"):
            uri_of_target = path.removeprefix("docs/")
        else:
            uri_of_target = f"{FOLDER}/{path}"
            if PurePosixPath(path).suffix in LANGUAGES:
                uri_of_target += ".md"
        return f"{match[1]}{os.path.relpath(uri_of_target, os.path.dirname(uri) or '.')}{match[3]}"

    return LINK.sub(changed, markdown)


def _linked(page: str) -> list[str]:
    """What a Markdown file of the repository links to outside docs/."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [path for path in links(text, page).values() if not path.startswith("docs/")]
