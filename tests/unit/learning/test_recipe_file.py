"""Recipes from files: what is in them is checked, and what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.errors import BadRecipe
from training.learning.recipe_file import read_recipe, resolve_recipe
from training.learning.recipes import Recipe, head, quality


def test_a_name_or_a_file_is_a_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(head().to_json()))
    assert resolve_recipe("head") == resolve_recipe(str(file)) == head()
    with pytest.raises(BadRecipe, match=r"recipe 'mine', needed one of quality, .*, or a \.json file"):
        resolve_recipe("mine")


def test_fields_left_out_are_as_they_are_by_default(tmp_path: Path) -> None:
    file = tmp_path / "short.json"
    file.write_text('{"name": "short", "steps": 40, "zoom": 2}')
    found = read_recipe(file)
    assert found == Recipe(name="short", steps=40, zoom=2.0)
    assert isinstance(found.zoom, float)  # the same identity, whichever way it is written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "a JSON list, needed an object"),
        ('{"steps": 40}', "a recipe with steps: no name"),
        ('{"name": "x", "warmth": 3}', "recipe 'x': unknown field 'warmth', needed some of name, parameters"),
        ('{"name": "x", "steps": "40"}', "steps is '40', needed a whole number"),
        ('{"name": "x", "steps": 40.5}', "steps is 40.5, needed a whole number"),
        ('{"name": "x", "steps": true}', "steps is True, needed a whole number"),
        ('{"name": "x", "peak_lr": NaN}', "peak_lr is nan, needed a finite number"),
        ('{"name": "x", "parameters": "all"}', "parameters is 'all', needed one of head, film, full"),
        ('{"name": ""}', "name is '', needed a text"),
        ('{"name": "x", "steps": 0}', "steps is 0, needed 1 or more"),
        ('{"name": "x", "mirror": 1.5}', "mirror is 1.5, needed 0 to 1"),
        ('{"name": "x", "weight_decay": -1}', r"weight_decay is -1\.0, needed 0 or more"),
        ('{"name": "x", "min_long_side": 999, "max_long_side": 99}', "min_long_side 999 is more than max_long_side 99"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_on_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(BadRecipe, match=said) as found:
        read_recipe(file)
    assert str(file) in str(found.value)
    assert "\n" not in str(found.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"nothing\.json: No such file"):
        resolve_recipe(str(tmp_path / "nothing.json"))


@pytest.mark.parametrize("values", [{"neck_channels": 0}, {"object_pixels": 0.0}, {"zoom": 0.5}, {"folds": -1}, {"folds": 1}])
def test_a_recipe_refuses_numbers_that_no_fit_can_use(values: dict[str, Any]) -> None:
    with pytest.raises(BadRecipe, match=next(iter(values)).split("_")[0]):
        Recipe(**{**quality().to_json(), **values})
