"""The tables of docs/reference/models.md are what the registry holds."""

from pathlib import Path

import attentive_gconv as ag
from attentive_gconv.models import model_entry
from attentive_gconv.models.blocks import ATTENTION

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "models.md"


def table(first_column: str) -> list[list[str]]:
    """The cells of the table that starts with this column, without its two heading lines."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip(" `") for cell in line.strip("|").split("|")])
    return rows


def test_every_model_is_listed_as_it_is() -> None:
    rows = {row[0]: row[1:] for row in table("name")}
    expected = {}
    for name in ag.list_models():
        entry = model_entry(name)
        model = ag.create_model(name)
        expected[name] = [
            entry.family,
            model.group.name,
            entry.defaults.get("attention", "none"),
            f"{sum(parameter.numel() for parameter in model.parameters()):,}",
            " x ".join(map(str, entry.image_shape)),
            str(entry.num_classes),
        ]
    assert rows == expected


def test_every_kind_of_attention_is_listed() -> None:
    listed = {row[0]: row[1] for row in table("attention")}
    assert listed == {name: kind.description for name, kind in ATTENTION.items()}
