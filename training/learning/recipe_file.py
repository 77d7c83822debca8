"""Recipes of one's own, as JSON files: what `tune` writes, and `--recipe FILE` takes."""

import json
from pathlib import Path

from training.errors import BadRecipe
from training.learning.recipes import RECIPES, Recipe, recipe

__all__ = ["is_recipe_file", "read_recipe", "resolve_recipe"]


def resolve_recipe(name_or_file: str) -> Recipe:
    """The recipe of that name, or the one in that `.json` file.

    Raises:
        BadRecipe: there is none, or the file is not what `read_recipe` takes.
    """
    if name_or_file in RECIPES:
        return recipe(name_or_file)
    if is_recipe_file(name_or_file):
        return read_recipe(Path(name_or_file))
    raise BadRecipe(f"recipe {name_or_file!r}, needed one of {', '.join(RECIPES)}, or a .json file")


def is_recipe_file(name_or_file: str) -> bool:
    """Whether it is read as a file rather than a name."""
    return name_or_file.endswith(".json")


def read_recipe(path: Path) -> Recipe:
    """The recipe in a JSON file; fields that it leaves out are as they are by default.

    Raises:
        BadRecipe: no such file, not a JSON object, an unknown field, or a value that a recipe cannot have; names the file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else f"not JSON ({error})"
        raise BadRecipe(f"{path}: {said}, needed a recipe as JSON") from error
    if not isinstance(document, dict):
        raise BadRecipe(f"{path}: a JSON {type(document).__name__}, needed an object with the fields of a recipe")
    try:
        return Recipe.from_json(document)
    except BadRecipe as error:
        raise BadRecipe(f"{path}: {error}") from error
