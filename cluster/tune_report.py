"""What a search found, for people: a row for each trial, a sentence, and a page with the trade-off."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from cluster.report import write_page
from cluster.tune_plot import draw_trade_off
from training.learning.recipes import Recipe
from training.loop.trade_off import Trial, front

__all__ = ["trial_rows", "verdict", "write_tuning"]


def trial_rows(trials: Sequence[Trial], winner: Trial | None) -> list[dict[str, Any]]:
    """The winner first, then by efficiency; what went wrong last. Fields of the recipes that differ from the base."""
    base = trials[0].recipe
    on_front = {trial.number for trial in front(trials)}
    ordered = sorted(trials, key=lambda one: (one is not winner, bool(one.error), not one.finished, -one.efficiency))
    return [
        {
            "trial": one.number,
            "recipe": one.recipe.name,
            "efficiency": f"{one.efficiency:.3f}" if one.scores else "-",
            "seconds": f"{one.seconds:.3g}" if one.scores else "-",
            "shards": len(one.scores),
            "state": _state(one, winner, on_front),
            "differs": "base" if one.number == 0 else _differs(base, one.recipe),
        }
        for one in ordered
    ]


def verdict(trials: Sequence[Trial], winner: Trial | None, num_refused: int = 0) -> str:
    """One line: what won against the base, and what did not come to its end.

    num_refused: draws that were no recipes, because their values contradict each other.
    """
    counts = {
        "finished": sum(one.finished for one in trials),
        "ended early": sum(one.stopped is not None for one in trials),
        "failed": sum(one.error is not None for one in trials),
        "more refused": num_refused,
    }
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if winner is None:
        return f"no winner of {len(trials)} recipes: {said}"
    against = "" if winner.number == 0 else f", the base {_figures(trials[0])}"
    return f"{winner.recipe.name}: {_figures(winner)}{against}; of {len(trials)} recipes {said}"


def write_tuning(
    path: Path, trials: Sequence[Trial], winner: Trial | None, failures: Sequence[Mapping[str, str]], *, seed: int
) -> None:
    """Write the page.

    Raises:
        BadInput: the file cannot be written; names it.
    """
    write_page(
        path,
        "tune.html",
        title="What a recipe is worth",
        lead="Label efficiency on held-out labels, against the compute that a fit takes.",
        verdict=verdict(trials, winner),
        plot=draw_trade_off(trials, winner),
        rows=trial_rows(trials, winner),
        failures=failures,
        versions={},
        seed=seed,
    )


def _figures(trial: Trial) -> str:
    return f"{trial.efficiency:.2f} in {trial.seconds:.3g} s a fit" if trial.scores else "without a score"


def _state(trial: Trial, winner: Trial | None, on_front: set[int]) -> str:
    if trial is winner:
        return "winner"
    return trial.error or trial.stopped or ("front" if trial.number in on_front else "")


def _differs(base: Recipe, recipe: Recipe) -> str:
    names = [one.name for one in fields(Recipe) if one.name != "name"]
    return ", ".join(f"{name} {getattr(recipe, name)}" for name in names if getattr(recipe, name) != getattr(base, name))
