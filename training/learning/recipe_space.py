"""Which recipes a search may try: values for some fields around a base, and seeded draws from them."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import BadRecipe
from training.learning.recipes import Recipe, checked_value

__all__ = ["NOT_TUNED", "Between", "Drawn", "Space", "default_space", "draw_recipes", "read_space"]

NOT_TUNED = ("name", "folds", "continued_steps", "continued_lr_ratio", "report_every")  # held-out fits know nothing of these
_PATIENCE = 100  # draws for each recipe asked for, until the space is taken to have no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Any number from low to high; log: as likely in each octave."""

    low: float
    high: float
    log: bool = False


Space = Mapping[str, tuple[Any, ...] | Between]  # field of a recipe -> the values it may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """recipes: all different, the base first. refused: draws whose values contradict each other, and why."""

    recipes: tuple[Recipe, ...]
    refused: tuple[str, ...]


def default_space(base: Recipe) -> Space:
    """What decides most about quality and cost, around the base."""
    widths = tuple(max(8, round(base.neck_channels * factor)) for factor in (0.5, 1, 1.5))
    return {
        "parameters": ("head", "film", "full"),
        "steps": Between(low=max(1, base.steps / 4), high=base.steps * 1.25, log=True),
        "batch_size": tuple(sorted({max(1, round(base.batch_size * factor)) for factor in (2 / 3, 1, 4 / 3)})),
        "cached_views": tuple(base.batch_size * times for times in (4, 6, 12)),
        "peak_lr": Between(low=base.peak_lr / 3, high=base.peak_lr * 3, log=True),
        "neck_channels": tuple(sorted(set(widths))),
        "object_pixels": Between(low=base.object_pixels * 0.6, high=base.object_pixels * 1.6, log=True),
        "min_long_side": tuple(min(base.max_long_side, round(base.min_long_side * factor)) for factor in (0.75, 1, 1.25)),
    }


def read_space(path: Path) -> Space:
    """A space from a JSON object: field -> a list of values, or {"low": …, "high": …, "log": true}.

    Raises:
        BadRecipe: no such file, not JSON, an unknown field or one that cannot be tuned, or values that it cannot have.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else f"not JSON ({error})"
        raise BadRecipe(f"{path}: {said}, needed a space as JSON") from error
    if not isinstance(document, dict) or not document:
        raise BadRecipe(f"{path}: {json.dumps(document)[:40]}, needed an object with fields of a recipe")
    return {name: _values(path, name, said) for name, said in document.items()}


def draw_recipes(base: Recipe, space: Space, count: int, *, seed: int) -> Drawn:
    """`base` and different recipes from the space around it: `count` together with those refused, or all there are.

    Only `head` can have cached views; drawn with other parameters they are 0.
    """
    random = np.random.default_rng(seed)
    recipes, refused = {_identity(base): base}, dict[str, str]()
    for _ in range(_PATIENCE * count):
        if len(recipes) + len(refused) >= count:
            break
        values = {name: _drawn(name, one, random) for name, one in space.items()}
        if values.get("parameters", base.parameters) != "head":
            values["cached_views"] = 0
        try:
            recipe = replace(base, **values)
        except BadRecipe as error:
            refused[json.dumps(values)] = str(error)
        else:
            recipes.setdefault(_identity(recipe), replace(recipe, name=_name(base, recipe)))
    return Drawn(recipes=tuple(recipes.values()), refused=tuple(refused.values()))


def _values(path: Path, name: str, said: Any) -> tuple[Any, ...] | Between:
    if name in NOT_TUNED:
        raise BadRecipe(f"{path}: {name} cannot be tuned, held-out fits start anew and without it; needed other fields")
    if isinstance(said, list) and said:
        return tuple(checked_value(str(path), name, value) for value in said)
    if not isinstance(said, dict) or not {"low", "high"} <= set(said) <= {"low", "high", "log"}:
        raise BadRecipe(f'{path}: {name} is {json.dumps(said)[:60]}, needed a list of values, or {{"low": …, "high": …}}')
    low, high = (checked_value(str(path), name, said[end]) for end in ("low", "high"))
    log = said.get("log", False)
    if isinstance(low, str) or not isinstance(log, bool) or low > high or (log and low <= 0):
        raise BadRecipe(f"{path}: {name} is {json.dumps(said)[:60]}, needed numbers with low up to high, above 0 where log")
    return Between(low=low, high=high, log=log)


def _drawn(name: str, values: tuple[Any, ...] | Between, random: np.random.Generator) -> Any:
    if not isinstance(values, Between):
        return values[int(random.integers(len(values)))]
    if values.log:
        number = math.exp(random.uniform(math.log(values.low), math.log(values.high)))
    else:
        number = float(random.uniform(values.low, values.high))
    whole = next(one.type for one in fields(Recipe) if one.name == name) is int
    return round(number) if whole else float(f"{number:.3g}")


def _identity(recipe: Recipe) -> str:
    return replace(recipe, name="one of many").identity()


def _name(base: Recipe, recipe: Recipe) -> str:
    """The same for the same values."""
    return f"{base.name}-{hashlib.sha256(_identity(recipe).encode()).hexdigest()[:8]}"
