from pathlib import Path

import pytest

from attentive_gconv.training import list_recipes, load_recipe
from attentive_gconv.training.parsing import config_to_mapping
from attentive_gconv.training.recipe import flatten
from attentive_gconv.training.run_folder import RunFolder

DOCS = Path(__file__).parents[2] / "docs"
RECIPES = (DOCS / "reference" / "recipes.md").read_text(encoding="utf-8")
TEXT = (DOCS / "guides" / "training.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("field", sorted(flatten(config_to_mapping(load_recipe("digits")))))
def test_every_field_of_a_recipe_is_described(field):
    assert f"`{field}`" in RECIPES


@pytest.mark.parametrize("recipe", list_recipes())
def test_every_recipe_is_shown(recipe):
    assert f'--8<-- "{recipe}.yaml"' in RECIPES


def test_every_file_of_a_run_is_described():
    folder = RunFolder(Path())
    for path in (folder.config_file, folder.dataset_file, folder.environment_file, folder.metrics_file):
        assert f"`{path.name}`" in TEXT
    assert "`result.json`" in TEXT
