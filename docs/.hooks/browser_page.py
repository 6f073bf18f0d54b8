"""The page that runs a network in the browser: as `make docs` built it, or else one that says how to build it.

It needs onnxruntime-web from the npm registry; the site builds without the registry, too.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

BUILT = Path(__file__).resolve().parents[2] / "build" / "browser-page.html"
NAME = "browser-page.html"
INSTEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The page is not built</title>
<p>This page needs onnxruntime-web from the npm registry and was not built with this site.</p>
<pre>python examples/browser_page/build.py --out page.html</pre>
<p><a href="guides/browser.html">More about it</a></p>
</html>
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    if BUILT.exists():
        files.append(File.generated(config, NAME, abs_src_path=str(BUILT)))
    else:
        files.append(File.generated(config, NAME, content=INSTEAD))
    return files
