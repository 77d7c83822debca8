"""`plan`: what would a fleet need?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.output import BackboneOption, JsonOption, TimingsOption, WeightsOption, finish, print_table
from training.errors import BadInput

if TYPE_CHECKING:
    from cluster.plan_costs import Costs
    from training.store.store import Store

__all__ = ["plan"]


def plan(
    store: Annotated[
        str | None,
        typer.Option("--store", envvar="MICROMODELS_STORE", metavar="URL", help="Whose costs and shards to plan with."),
    ] = None,
    shards: Annotated[int | None, typer.Option(min=1, help="Shards of the fleet; those of the store by default.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames of each; as in the store by default.")] = None,
    generations: Annotated[int, typer.Option(min=1, help="How often everything is fitted and labelled.")] = 1,
    workers: Annotated[str, typer.Option(metavar="N,…", help="Numbers of workers to compare.")] = "1,8,64",
    preemptions: Annotated[float, typer.Option(min=0, metavar="RATE", help="Of one worker, per hour: spot machines.")] = 0.0,
    restart: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Until a pre-empted worker is replaced.")] = 60.0,
    recipe: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Plan with fits of this recipe; the commonest of the store by default."),
    ] = None,
    costs: Annotated[
        Path | None, typer.Option("--costs", metavar="FILE", help="Costs as JSON, in the place of what it names.")
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Fit and label one small shard now, and start a fleet.")] = False,
    backbone: BackboneOption = "mobilenet_v2",
    weights: WeightsOption = "auto",
    timings: TimingsOption = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same plan.")] = 0,
    json: JsonOption = None,
) -> int:
    """Say what fitting and labelling a fleet needs, from what things took here: hours, wall time, storage, requests, people.

    Example: micromodels plan --store ./store --shards 10000 --generations 3 --workers 8,64
    """
    from cluster.plan import Preemption
    from cluster.plan import plan as planned
    from cluster.plan_costs import Costs, read_costs
    from cluster.plan_days import Workload
    from cluster.plan_sources import costs_of_store
    from training.learning.groups import fits_at_once
    from training.loop.timings import read_timings
    from training.store.store import Store

    numbers, known = _numbers(workers), Costs()
    if store is not None:
        opened = Store.open(store)
        known = costs_of_store(opened, _name(recipe), None if timings is None else read_timings(timings))
        if measure:
            known = _measured(opened, known, recipe or "quality", backbone, weights)
    elif measure:
        raise BadInput("--measure: needed a --store that has a labelled shard")
    if costs is not None:
        known = read_costs(costs, known)
    bundle = fits_at_once(known.device)
    work = Workload(shards=shards or len(known.frames) or 1, generations=generations, frames=frames, bundle=bundle)
    preemption = Preemption(per_hour=preemptions, restart_s=restart)
    document = planned(known, work, numbers, preemption=preemption, seed=seed)
    print_table(known.spreads())
    typer.echo()
    print_table(_needs(document))
    typer.echo()
    return finish({**document, "costs": known.to_json(), "failures": []}, json, rows=[_row(one) for one in document["fleets"]])


def _measured(store: "Store", known: "Costs", recipe: str, backbone: str, weights: str) -> "Costs":
    from cluster.plan_measure import measured_fit_startup, measured_label_startup, measured_shard
    from training.learning.recipe_file import resolve_recipe
    from training.models.backbones import Backbone

    how: dict[str, Any] = {"recipe": resolve_recipe(recipe), "backbone": Backbone(name=backbone, weights=weights)}
    return measured_label_startup(store.url, measured_fit_startup(store.url, measured_shard(store, known, **how), **how))


def _name(recipe: str | None) -> str | None:
    """As cards have it, which may be of a recipe that is in no file here."""
    from training.learning.recipe_file import is_recipe_file, resolve_recipe

    return resolve_recipe(recipe).name if recipe is not None and is_recipe_file(recipe) else recipe


def _numbers(workers: str) -> list[int]:
    numbers = [int(word) if word.strip().isdecimal() else 0 for word in workers.split(",")]
    if not all(numbers):
        raise BadInput(f"--workers {workers}: needed whole numbers of 1 or more, like 1,8,64")
    return numbers


def _needs(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What does not depend on the number of workers."""
    storage, requests, people = document["storage_bytes"], document["requests"], document["human_hours"]
    return [
        {
            "shards": document["shards"],
            "generations": document["generations"],
            **{f"{name}_MB": None if size is None else round(size / 1e6, 1) for name, size in storage.items()},
            **requests,
            **{f"people_{name}_h": hours for name, hours in people.items()},
        }
    ]


def _row(fleet: dict[str, Any]) -> dict[str, Any]:
    hours = fleet["gpu_hours"] or fleet["cpu_hours"]
    return {
        "workers": fleet["workers"],
        **{f"{verb}_{p}": _clock(fleet[verb]["wall_s"][p]) for verb in ("fit", "label") for p in ("p50", "p90")},
        **{f"all_{p}": _clock(fleet["wall_s"][p]) for p in ("p50", "p90")},
        "gpu_hours" if fleet["gpu_hours"] else "cpu_hours": f"{hours['p50']:.2f}",
        "used": f"{fleet['utilisation']:.0%}",
        "lost_h": f"{fleet['lost_worker_hours']:.2f}",
        "preempted": f"{fleet['preemptions']:.0f}",
        "given_up": f"{fleet['quarantined']:.1f}",
    }


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
