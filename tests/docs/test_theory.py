"""The links of docs/explanation/theory.md: every file is there, and holds the test that the link's text names."""

import re
from pathlib import Path

import pytest

import attentive_gconv as ag

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "theory.md"
TEXT = re.sub(r"^    .*$", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
# links stand in running text and tables; what the formulas hold in brackets is indented
LINKS = re.findall(r"\[([^\]]+)\]\(\s*([^)\s]+)\s*\)", TEXT)
LOCAL = [(text, target) for text, target in LINKS if not target.startswith("http")]
METHODS = ["AttentiveGroupConv2d", "InputAttention", "CoAttention", "SqueezeExcite", "CBAM", "BAM", "ResidualAttention"]


@pytest.mark.parametrize(("text", "target"), LOCAL)
def test_link(text, target):
    path = PAGE.parent / target.split("#")[0]
    assert path.is_file()
    if "/reference/api/" in target:  # the site's build finds that the entry is there
        assert target.endswith(f"#attentive_gconv.nn.{text.strip('`')}")
        assert text.strip("`") in ag.nn.__all__
    elif name := re.fullmatch(r"`(\w+)`", text):
        assert re.search(rf"^(class|def) {name[1]}\b", path.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_row_with_code_and_proof(method):
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    row = next(line for line in rows if f"[`{method}`](../reference/api/" in line)
    assert "](../../tests/" in row
