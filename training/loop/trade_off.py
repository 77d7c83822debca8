"""Quality against compute: which recipes of a search are clearly worse, which are on the front, and which one is taken."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.errors import BadInput, BadRecipe
from training.learning.recipes import Recipe
from training.loop.efficiency import e_count
from training.loop.objective import HeldOutScore
from training.models.actions import Actions

__all__ = ["Trial", "clearly_worse", "front", "margin", "too_slow", "winner"]

CLEAR_CORRECTIONS = 2  # so many more must be due before one recipe is called worse than another
LEAST_MARGIN = 0.01
TOO_SLOW = 2.0  # times the seconds allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One recipe on the shards of a sample, in their order; trial 0 is the base of the search.

    scores: of the shards so far.
    stopped: why it did not go on to the last shard. error: what went wrong with it.
    """

    number: int
    recipe: Recipe
    scores: tuple[HeldOutScore, ...] = ()
    stopped: str | None = None
    error: str | None = None

    @property
    def finished(self) -> bool:
        return self.stopped is None and self.error is None

    @property
    def objects(self) -> int:
        return sum(score.objects for score in self.scores)

    @property
    def efficiency(self) -> float:
        """Held-out e_count of all shards together, 0 before the first; below 0 where more is wrong than is there."""
        due = sum((score.due for score in self.scores), Actions())
        return e_count(drawn=0, corrected=Actions(), due=due, objects=self.objects)

    @property
    def seconds(self) -> float:
        """Of compute of one fit, mean over the shards, 0 before the first."""
        return sum(score.seconds for score in self.scores) / max(1, len(self.scores))

    def after(self, num_shards: int) -> "Trial":
        """As it stood when that many shards were done."""
        return replace(self, scores=self.scores[:num_shards])

    def to_json(self) -> dict[str, Any]:
        efficiency, seconds = (self.efficiency, self.seconds) if self.scores else (None, None)
        return {
            "trial": self.number,
            "recipe": self.recipe.to_json(),
            "efficiency": efficiency,
            "seconds": seconds,
            "efficiency_per_second": efficiency / seconds if efficiency is not None and seconds else None,
            "objects": self.objects,
            "shards": [score.to_json() for score in self.scores],
            "stopped": self.stopped,
            "error": self.error,
        }


def margin(objects: int) -> float:
    """How much less efficiency on that many objects is clearly less: CLEAR_CORRECTIONS of them."""
    return max(LEAST_MARGIN, CLEAR_CORRECTIONS / objects) if objects else float("inf")


def clearly_worse(trial: Trial, others: Iterable[Trial]) -> bool:
    """Whether one of the others was clearly better on the same shards, and took no more compute for it."""
    done = len(trial.scores)
    least = trial.efficiency + margin(trial.objects)
    rivals = (one.after(done) for one in others if done and len(one.scores) >= done)
    return any(one.efficiency > least and one.seconds <= trial.seconds for one in rivals)


def too_slow(trial: Trial, max_seconds: float | None) -> bool:
    """Whether it takes so much more than it may that the shards to come will not mend it."""
    return max_seconds is not None and trial.seconds > TOO_SLOW * max_seconds


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Finished trials that no other finished one beats in both, from the cheapest to the best (the Pareto front)."""
    found: list[Trial] = []
    for trial in sorted(_judged(trials), key=lambda one: (one.seconds, -one.efficiency)):
        if not found or trial.efficiency > found[-1].efficiency:
            found.append(trial)
    return found


def winner(trials: Sequence[Trial], max_seconds: float | None = None) -> Trial:
    """The one that takes least compute, of those that are not clearly less efficient than the best; within `max_seconds` a fit.

    Raises:
        BadRecipe: no trial came to its end.
        BadInput: none of them within `max_seconds`.
    """
    judged = _judged(trials)
    if not judged:
        errors = [f"trial {one.number}: {one.error}" for one in trials if one.error]
        raise BadRecipe(f"none of {len(trials)} recipes was fitted on every shard, needed one; {errors[0] if errors else ''}")
    quick = [one for one in judged if max_seconds is None or one.seconds <= max_seconds]
    if not quick:
        found = f"the fastest of {len(judged)} recipes takes {min(one.seconds for one in judged):.3g} s of compute a fit"
        raise BadInput(f"--max-seconds {max_seconds:g}: {found}, needed that at least")
    best = max(quick, key=lambda one: one.efficiency)
    good = [one for one in quick if best.efficiency - one.efficiency <= margin(best.objects)]
    return min(good, key=lambda one: one.seconds)


def _judged(trials: Sequence[Trial]) -> list[Trial]:
    return [one for one in trials if one.finished and one.scores]
