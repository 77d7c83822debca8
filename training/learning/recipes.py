"""Named, frozen fitting configurations: a recipe is a function, a new way of fitting is a new function."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from training.errors import BadRecipe

__all__ = ["RECIPES", "Recipe", "fast", "film", "head", "quality", "recipe", "smoke"]


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
        if min(self.steps, self.batch_size, self.report_every) < 1 or self.zoom < 1 or self.min_long_side > self.max_long_side:
            raise BadRecipe(f"recipe {self.name}: {self}")
        if self.continued_steps < 0:
            raise BadRecipe(f"recipe {self.name}: {self.continued_steps} continued steps, needed none or more")
        if self.folds < 0 or self.folds == 1:
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
        try:
            return cls(**document)
        except TypeError as error:
            raise BadRecipe(f"recipe {document.get('name')!r}: {error}") from error

    def going_on(self) -> "Recipe":
        """The same, for a fit that goes on from an earlier micro-model."""
        return replace(self, steps=self.continued_steps, peak_lr=self.peak_lr * self.continued_lr_ratio)

    def identity(self) -> str:
        """Canonical text of everything that changes what is learned."""
        return json.dumps(self.to_json(), sort_keys=True)


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
