"""One trial of a search: a recipe on one shard after the other, in a process that Ray Tune started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
import torch
from ray import tune

from training.data.shards import Shard
from training.errors import named
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe
from training.loop.kept_scores import keep_score, kept_score, score_key
from training.loop.objective import HeldOutScore, score_recipe, warm_up
from training.loop.trade_off import Trial, too_slow
from training.models.backbones import Backbone
from training.models.device import best_device, compute_with
from training.store.store import Store

__all__ = ["Search", "trial_of", "try_recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is tried: recipes, the base first, on shards with the ontology each is judged on.

    folds: of the labelled frames of each shard, one fit each. max_seconds: of compute a fit may take.
    """

    store_url: str
    shards: tuple[tuple[Shard, str], ...]
    recipes: tuple[Recipe, ...]
    folds: int
    backbone: Backbone
    seed: int
    max_seconds: float | None = None


def try_recipe(config: Mapping[str, Any], search: Search, frames: Sequence[Any], cpus: int, start: str) -> None:
    """One trial: report the scores so far after every shard; whatever goes wrong is its last report."""
    compute_with(cpus)
    scorer = _Scorer(search, search.recipes[config["number"]], f"{cpus} threads", start)
    scores: list[dict[str, Any]] = []
    for (shard, _), reference in zip(search.shards, frames, strict=True):
        try:
            scores.append(scorer.score(shard, ray.get(reference)).to_json())
        except Exception as error:
            tune.report({"scores": scores, "error": named(error)})
            return
        tune.report({"scores": scores, "error": None})


class _Scorer:
    """Scores of one recipe: those that the store has, and new ones."""

    def __init__(self, search: Search, recipe: Recipe, threads: str, start: str) -> None:
        self._device = best_device()
        hardware = torch.cuda.get_device_name() if self._device.type == "cuda" else threads
        self._conditions = (f"{search.folds} folds", search.backbone.name, start, f"seed {search.seed}", hardware)
        self._store, self._search, self._recipe = Store.open(search.store_url), search, recipe
        self._warm = False

    def score(self, shard: Shard, labelled: LabelledFrames) -> HeldOutScore:
        key = score_key(shard, labelled, self._recipe, *self._conditions)
        if (known := kept_score(self._store, key)) is not None:
            return known
        how: dict[str, Any] = {"recipe": self._recipe, "backbone": self._search.backbone, "device": self._device}
        if not self._warm:
            warm_up(labelled, **how)
            self._warm = True
        found = score_recipe(labelled, folds=self._search.folds, seed=self._search.seed, **how)
        keep_score(self._store, key, found, self._recipe)
        return found


def trial_of(number: int, reported: Mapping[str, Any], search: Search) -> Trial:
    """What the last report of a trial says, if no other report comes."""
    scores = tuple(HeldOutScore.from_json(score) for score in reported.get("scores", ()))
    trial = Trial(number=number, recipe=search.recipes[number], scores=scores, error=reported.get("error"))
    if trial.error is not None or len(scores) == len(search.shards):
        return trial
    return replace(trial, stopped="too slow" if too_slow(trial, search.max_seconds) else "clearly worse")
