"""`next`: where an hour of a person's time is worth most."""

from typing import Annotated

import typer

from cluster.cli.output import BackboneOption, JsonOption, StoreOption, TimingsOption, WeightsOption, WorkersOption, finish

__all__ = ["next"]


def next(  # noqa: A001  # a verb is called as its function is
    store: StoreOption,
    shards: Annotated[list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all by default.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames at most; 20 by default, without --budget.")] = None,
    budget: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Expected seconds of work at most.")] = None,
    labels: Annotated[int, typer.Option(min=1, help="Frames of a shard that nobody labelled yet.")] = 5,
    ontology: Annotated[str | None, typer.Option(help="Only this ontology; all by default.")] = None,
    backbone: BackboneOption = "mobilenet_v2",
    weights: WeightsOption = "auto",
    workers: WorkersOption = None,
    timings: TimingsOption = None,
    json: JsonOption = None,
) -> int:
    """Say which frames of the whole store a person should label or review next, the most worth first, and queue them.

    Example: micromodels next --store ./store --budget 600
    """
    from cluster.next_frames import next_frames
    from cluster.resources import cluster_workers
    from cluster.session import ray_session
    from training.loop.timings import read_timings
    from training.models.backbones import Backbone, resolve_weights
    from training.store.store import Store

    opened, start = Store.open(store), Backbone(name=backbone, weights=weights)
    own = None if timings is None else read_timings(timings)
    resolve_weights(start)  # bad weights are told before anything else is done
    with ray_session(num_cpus=workers):
        result = next_frames(
            opened,
            shards or None,
            ontology,
            labels=labels,
            frames=20 if frames is None and budget is None else frames,
            budget_s=budget,
            backbone=start,
            num_workers=workers or cluster_workers(),
            timings=own,
        )
    for one in result["waiting"]:
        typer.echo(f"{one['shard_id']} {one['ontology']}: nothing to review before `{one['needs']}`", err=True)
    columns = ("shard_id", "frame_index", "kind", "why", "ontology", "saves_s", "costs_s")
    return finish(result, json, rows=[{name: one[name] for name in columns} for one in result["frames"]])
