"""Named, frozen fitting configurations: a recipe is a function, a new way of fitting is a new function."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from training.errors import BadRecipe

__all__ = ["RECIPES", "Recipe", "checked_value", "fast", "film", "head", "quality", "recipe", "smoke"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way of fitting.

    parameters: which of them belong to the micro-model: 'head' (all but the trunk), 'film' (norms and head),
        'full' (the whole network).
    steps, batch_size: optimiser steps and augmented pictures in each.
    continued_steps, continued_lr_ratio: where the fit goes on from an earlier micro-model of the same shape, its steps, and
        its peak learning rate as a share of peak_lr; 0 steps: always start anew.
    cached_views: augmented pictures whose feature maps are computed once, for 'head'; 0 draws new ones at every step.
    peak_lr, trunk_lr_ratio: of the one-cycle schedule (Smith & Topin, 2017); a pre-trained trunk learns slower by the ratio.
    object_pixels: the resolution policy enlarges frames until the smaller objects have sides of about this many pixels.
    min_long_side, max_long_side: bounds of that policy, input pixels.
    crop_pixels: largest area of a training picture; larger frames are learned from crops around objects and elsewhere.
    zoom: largest random magnification; the smallest is its inverse. jitter: random shift, share of the picture.
    mirror, brightness, contrast: chance of mirroring; largest change of either.
    folds: held-out folds of the labelled frames that thresholds are chosen on, each one more fit; 0 for none.
    """

    name: str
    parameters: Literal["head", "film", "full"] = "full"
    steps: int = 160
    continued_steps: int = 0
    batch_size: int = 6
    cached_views: int = 0
    peak_lr: float = 3e-3
    continued_lr_ratio: float = 0.5
    trunk_lr_ratio: float = 0.3
    weight_decay: float = 1e-2
    neck_channels: int = 64
    object_pixels: float = 40.0
    min_long_side: int = 288
    max_long_side: int = 1280
    crop_pixels: int = 60_000
    zoom: float = 1.3
    jitter: float = 0.15
    mirror: float = 0.5
    brightness: float = 0.15
    contrast: float = 0.2
    folds: int = 0
    report_every: int = 10

    def __post_init__(self) -> None:
        for one in fields(self):
            low, high = _BOUNDS.get(one.name, (0.0, math.inf))
            if isinstance(value := getattr(self, one.name), int | float) and not low <= value <= high:
                raise BadRecipe(f"recipe {self.name}: {one.name} is {value}, needed {_needed(low, high)}")
        if self.min_long_side > self.max_long_side:
            sides = f"min_long_side {self.min_long_side} is more than max_long_side {self.max_long_side}"
            raise BadRecipe(f"recipe {self.name}: {sides}, needed at most that")
        if self.folds == 1:
            raise BadRecipe(f"recipe {self.name}: {self.folds} folds, needed none or at least two")
        if self.cached_views and (self.parameters != "head" or self.cached_views < self.batch_size):
            raise BadRecipe(
                f"recipe {self.name}: {self.cached_views} cached views of parameters {self.parameters!r}, needed none, "
                f"or at least batch_size ({self.batch_size}) of 'head': only a trunk that does not change has maps to keep"
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Recipe":
        """The recipe with these fields; those left out are as they are by default.

        Raises:
            BadRecipe: no name, an unknown field, or a value of the wrong type or out of bounds; names the field.
        """
        if "name" not in document:
            raise BadRecipe(f"a recipe with {', '.join(document) or 'nothing'}: no name, needed one")
        return cls(**{name: checked_value(f"recipe {document['name']!r}", name, value) for name, value in document.items()})

    def going_on(self) -> "Recipe":
        """The same, for a fit that goes on from an earlier micro-model."""
        return replace(self, steps=self.continued_steps, peak_lr=self.peak_lr * self.continued_lr_ratio)

    def identity(self) -> str:
        """Canonical text of everything that changes what is learned."""
        return json.dumps(self.to_json(), sort_keys=True)


_BOUNDS: dict[str, tuple[float, float]] = {  # of all other numbers 0 is the least
    **dict.fromkeys(("steps", "batch_size", "report_every", "neck_channels", "min_long_side", "crop_pixels"), (1, math.inf)),
    **dict.fromkeys(("peak_lr", "object_pixels"), (1e-12, math.inf)),
    "zoom": (1, math.inf),
    "mirror": (0, 1),
}


def checked_value(what: str, name: str, value: Any) -> Any:
    """`value` as the field `name` of a recipe holds it: whole numbers are fine where fractions are.

    Raises:
        BadRecipe: there is no such field, or it is of another type; begins with `what`.
    """
    kinds = {one.name: one.type for one in fields(Recipe)}
    if name not in kinds:
        raise BadRecipe(f"{what}: unknown field {name!r}, needed some of {', '.join(kinds)}")
    kind, words = kinds[name], get_args(kinds[name])
    if words:
        right, needed = value in words, f"one of {', '.join(words)}"
    elif kind is str:
        right, needed = isinstance(value, str) and bool(value), "a text"
    else:
        wanted, needed = (int, "a whole number") if kind is int else (int | float, "a finite number")
        right = isinstance(value, wanted) and not isinstance(value, bool) and math.isfinite(value)
    if not right:
        raise BadRecipe(f"{what}: {name} is {value!r}, needed {needed}")
    return float(value) if kind is float else value


def _needed(low: float, high: float) -> str:
    return f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"


def quality() -> Recipe:
    """The default: the whole network, about a minute or two of one CPU core; later generations take half of that."""
    return Recipe(name="quality", continued_steps=60)


def fast() -> Recipe:
    """The whole network in fewer steps at a lower resolution: for a first look."""
    return Recipe(name="fast", steps=80, batch_size=6, min_long_side=224, crop_pixels=40_000)


def careful() -> Recipe:
    """As quality, with thresholds chosen on held-out labels, and their quality in the card: six fits instead of one."""
    return replace(quality(), name="careful", folds=5)


def film() -> Recipe:
    """Only the norms of the trunk and the head: a small model of what is known already."""
    return Recipe(name="film", parameters="film", steps=100, trunk_lr_ratio=1.0)


def head() -> Recipe:
    """Only the head, on feature maps that are computed once: seconds where the others take minutes."""
    return Recipe(name="head", parameters="head", cached_views=36, steps=160)


def smoke() -> Recipe:
    """A few seconds, to see that everything runs."""
    return Recipe(name="smoke", steps=12, batch_size=4, neck_channels=16, min_long_side=96, max_long_side=128, crop_pixels=10_000)


RECIPES: dict[str, Callable[[], Recipe]] = {
    function.__name__: function for function in (quality, careful, fast, film, head, smoke)
}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        BadRecipe: there is none.
    """
    if name not in RECIPES:
        raise BadRecipe(f"recipe {name!r}, needed one of {', '.join(RECIPES)}")
    return RECIPES[name]()
