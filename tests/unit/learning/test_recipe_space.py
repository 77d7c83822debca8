"""Recipes drawn for a search: different, reproducible, inside their space, and never silently mended."""

import json
from pathlib import Path

import pytest

from training.errors import BadRecipe
from training.learning.recipe_space import Between, default_space, draw_recipes, read_space
from training.learning.recipes import RECIPES, quality, recipe, smoke


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_default_space_has_no_contradictions_around_any_recipe(name: str) -> None:
    base = recipe(name)
    drawn = draw_recipes(base, default_space(base), 30, seed=0)
    assert len(drawn.recipes) == 30
    assert drawn.refused == ()
    assert drawn.recipes[0] == base
    assert {one.parameters for one in drawn.recipes} == {"head", "film", "full"}
    assert all(one.folds == base.folds and one.continued_steps == base.continued_steps for one in drawn.recipes)


def test_the_same_seed_draws_the_same_and_no_two_do_the_same_thing() -> None:
    space = default_space(quality())
    first, again, other = (draw_recipes(quality(), space, 12, seed=seed) for seed in (3, 3, 4))
    assert first == again != other
    assert len({one.name for one in first.recipes}) == 12


def test_a_space_that_has_no_more_is_drawn_empty() -> None:
    drawn = draw_recipes(smoke(), {"steps": (12, 20), "batch_size": (4, 6)}, 50, seed=0)
    assert {(one.steps, one.batch_size) for one in drawn.recipes} == {(12, 4), (12, 6), (20, 4), (20, 6)}


def test_draws_that_contradict_themselves_are_counted_with_the_reason() -> None:
    drawn = draw_recipes(smoke(), {"parameters": ("head",), "cached_views": (2, 8)}, 4, seed=0)
    assert [one.cached_views for one in drawn.recipes] == [0, 8]
    assert len(drawn.refused) == 1
    assert "2 cached views" in drawn.refused[0]


def test_other_parameters_than_the_head_have_no_cached_views() -> None:
    drawn = draw_recipes(recipe("head"), {"parameters": ("film", "full")}, 3, seed=0)
    assert {(one.parameters, one.cached_views) for one in drawn.recipes} == {("head", 36), ("film", 0), ("full", 0)}


def test_a_space_of_ones_own_is_read_and_drawn_within_its_bounds(tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    file.write_text(
        json.dumps({"steps": {"low": 10, "high": 20}, "peak_lr": {"low": 1e-4, "high": 1e-2, "log": True}, "zoom": [1]})
    )
    space = read_space(file)
    assert space["peak_lr"] == Between(low=1e-4, high=1e-2, log=True)
    drawn = draw_recipes(smoke(), space, 20, seed=0).recipes[1:]
    assert all(isinstance(one.steps, int) and 10 <= one.steps <= 20 for one in drawn)
    assert all(1e-4 <= one.peak_lr <= 1e-2 for one in drawn)
    assert {one.zoom for one in drawn} == {1.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "not JSON"),
        ("{}", "needed an object with fields of a recipe"),
        ('{"warmth": [1]}', "unknown field 'warmth'"),
        ('{"folds": [2, 3]}', "folds cannot be tuned"),
        ('{"steps": []}', "steps is \\[\\], needed a list"),
        ('{"steps": ["10"]}', "steps is '10', needed a whole number"),
        ('{"steps": {"low": 1}}', "needed a list of values"),
        ('{"steps": {"low": 9, "high": 1}}', "needed numbers with low up to high"),
        ('{"zoom": {"low": 0, "high": 1, "log": true}}', "above 0 where log"),
        ('{"parameters": {"low": "film", "high": "full"}}', "needed numbers"),
    ],
)
def test_what_is_wrong_with_a_space_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "space.json"
    file.write_text(text)
    with pytest.raises(BadRecipe, match=said) as found:
        read_space(file)
    assert str(file) in str(found.value)


def test_a_space_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match=r"nothing\.json: No such file"):
        read_space(tmp_path / "nothing.json")
