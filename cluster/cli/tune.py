"""`tune`: which recipe is worth its compute?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.output import (
    BackboneOption,
    JsonOption,
    RecipeOption,
    StoreOption,
    WeightsOption,
    WorkersOption,
    failure,
    finish,
    write_json,
)
from training.errors import BadInput

if TYPE_CHECKING:
    from cluster.tune import Tried
    from training.loop.trade_off import Trial

__all__ = ["tune"]


def tune(
    store: StoreOption,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The winner goes here, for `fit --recipe FILE`: a .json.")],
    recipe: RecipeOption = "quality",
    space: Annotated[Path | None, typer.Option(metavar="FILE", help="What to try, as JSON; around the base by default.")] = None,
    shards: Annotated[int, typer.Option(min=1, help="Shards to judge on: a seeded sample.")] = 6,
    trials: Annotated[int, typer.Option(min=2, help="Recipes to try, with the base.")] = 20,
    folds: Annotated[int, typer.Option(min=2, help="Folds of each shard's labelled frames, one fit each.")] = 3,
    max_seconds: Annotated[float | None, typer.Option(min=0, help="Seconds of compute that a fit may take.")] = None,
    ontology: Annotated[str | None, typer.Option(help="Only this ontology; all by default.")] = None,
    backbone: BackboneOption = "mobilenet_v2",
    weights: WeightsOption = "auto",
    seed: Annotated[int, typer.Option(help="The same seed tries the same recipes on the same shards.")] = 0,
    workers: WorkersOption = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Also draw the trade-off: one HTML page.")] = None,
    json: JsonOption = None,
) -> int:
    """Try recipes on a sample of shards, and write the cheapest that is not clearly worse than the best on held-out labels.

    What was measured is kept in the store: run it again after anything went wrong, or with more trials, and it goes on.

    Example: micromodels tune --store ./store --max-seconds 30 --out recipe.json --report trade-off.html
    """
    from cluster.progress import Progress
    from cluster.resources import cluster_workers
    from cluster.session import ray_session
    from cluster.tune import try_recipes
    from cluster.tune_report import trial_rows, verdict, write_tuning
    from cluster.tune_sample import sample_shards
    from cluster.tune_trial import Search
    from training.learning.recipe_file import is_recipe_file, resolve_recipe
    from training.learning.recipe_space import default_space, draw_recipes, read_space
    from training.models.backbones import Backbone, resolve_weights
    from training.store.store import Store

    if not is_recipe_file(str(out)):
        raise BadInput(f"--out {out}: needed a name that ends in .json, which `fit --recipe` takes")
    opened, base, start = Store.open(store), resolve_recipe(recipe), Backbone(name=backbone, weights=weights)
    drawn = draw_recipes(base, default_space(base) if space is None else read_space(space), trials, seed=seed)
    sample = sample_shards(opened, shards, ontology, seed=seed)
    resolve_weights(start)  # bad weights are told before anything else is done
    search = Search(
        store_url=opened.url,
        shards=sample.shards,
        recipes=drawn.recipes,
        folds=folds,
        backbone=start,
        seed=seed,
        max_seconds=max_seconds,
    )
    with ray_session(num_cpus=workers), Progress("tune: trials", len(drawn.recipes)) as progress:
        tried = try_recipes(search, num_workers=workers or cluster_workers(), progress=progress)
    best, why_not = _winner(tried, max_seconds)
    failures = [failure(name, error) for name, error in tried.failures.items()]
    document = {
        **_found(tried, best),
        "refused": list(drawn.refused),
        "passed_over": sample.passed_over,
        "folds": folds,
        "max_seconds": max_seconds,
        "seed": seed,
        "failures": failures,
    }
    if report is not None:
        write_tuning(report, tried.trials, best, failures, seed=seed)
    code = finish(document, json, rows=trial_rows(tried.trials, best))
    typer.echo(f"\n{verdict(tried.trials, best, len(drawn.refused))}")
    if why_not is not None:
        raise why_not
    write_json(out, document["winner"]["recipe"])
    typer.echo(f"recipe: {out}")
    return code


def _winner(tried: "Tried", max_seconds: float | None) -> "tuple[Trial | None, BadInput | None]":
    """The one that won, or why there is none: what was found is shown all the same."""
    from training.loop.trade_off import winner

    try:
        return winner(tried.trials, max_seconds), None
    except BadInput as error:
        return None, error


def _found(tried: "Tried", best: "Trial | None") -> dict[str, Any]:
    from training.loop.trade_off import front

    return {
        "winner": None if best is None else best.to_json(),
        "front": [one.number for one in front(tried.trials)],
        "trials": [one.to_json() for one in tried.trials],
    }
