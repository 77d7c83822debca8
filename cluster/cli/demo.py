"""`demo`: everything at once, on a world that it draws itself."""

from pathlib import Path
from typing import Annotated

import typer

from cluster.cli.output import BackboneOption, JsonOption, RecipeOption, WeightsOption, WorkersOption, finish

__all__ = ["demo"]


def demo(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything goes; an earlier demo is replaced.")] = Path(
        "demo"
    ),
    labels: Annotated[int, typer.Option(min=1, help="Frames of each shard that are labelled by hand.")] = 5,
    recipe: RecipeOption = "fast",
    backbone: BackboneOption = "mobilenet_v2",
    weights: WeightsOption = "none",
    seed: Annotated[int, typer.Option(help="Another seed draws another world.")] = 0,
    workers: WorkersOption = None,
    store: Annotated[str | None, typer.Option(metavar="URL", help="Root of the store; DIR/store by default.")] = None,
    json: JsonOption = None,
) -> int:
    """Draw a small world, then add, fit, label, serve and judge it; ends with a report to open in a browser.

    Takes some minutes on two CPU cores, and no network.

    Example: micromodels demo
    """
    from cluster.demo import run_demo
    from cluster.resources import cluster_workers
    from cluster.session import ray_session
    from training.learning.recipe_file import resolve_recipe
    from training.models.backbones import Backbone, resolve_weights

    chosen, start = resolve_recipe(recipe), Backbone(name=backbone, weights=weights)
    resolve_weights(start)  # bad weights are told before anything else is done
    with ray_session(num_cpus=workers):
        done = run_demo(
            directory,
            store_url=store,
            labels=labels,
            recipe=chosen,
            backbone=start,
            seed=seed,
            num_workers=workers or cluster_workers(),
            say=lambda line: typer.echo(line, err=True),
        )
    names = ("precision", "recall", "tight_recall", "e_count", "fit_seconds")
    last = {entry["shard_id"]: entry["generations"][-1] for entry in done.result["shards"]}
    rows = [{"shard": shard_id, **{name: one.get(name) for name in names}} for shard_id, one in last.items()]
    code = finish(done.result, json, rows=rows)
    typer.echo(f"\nreport: {done.report}")
    return code
