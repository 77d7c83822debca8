"""`fit`: labelled shards -> micro-models, published, and live if the gate lets them."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.fleet_size import FleetSize, FleetSizeOption
from cluster.cli.outcome import JobOption, job_outcome
from cluster.cli.output import BackboneOption, JsonOption, RecipeOption, StoreOption, WeightsOption, failure, finish

if TYPE_CHECKING:
    from training.learning.fit_job import FitReceipt
    from training.learning.generation import FitPlan
    from training.models.backbones import Backbone
    from training.store.store import Store

__all__ = ["fit"]


def fit(
    store: StoreOption,
    shards: Annotated[list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all labelled ones by default.")] = None,
    ontology: Annotated[str | None, typer.Option(help="Only this ontology; all that have annotations by default.")] = None,
    recipe: RecipeOption = "quality",
    backbone: BackboneOption = "mobilenet_v2",
    weights: WeightsOption = "auto",
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    workers: FleetSizeOption = None,
    canary: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Put what replaces a live model on trial, with this share, 0..1.")
    ] = None,
    job: JobOption = None,
    json: JsonOption = None,
) -> int:
    """Fit one micro-model per labelled shard, publish it, and make it live unless audit frames say it is worse.

    What is published for the same labels, recipe, backbone and seed is skipped, so run it again after anything went wrong.

    Example: micromodels fit --store ./store --workers 2
    """
    from training.errors import NothingToLearn
    from training.learning.generation import plan_fits
    from training.learning.recipe_file import resolve_recipe
    from training.models.backbones import Backbone
    from training.store.canaries import check_share
    from training.store.store import Store

    check_share(canary)
    started = time.monotonic()
    opened = Store.open(store)
    with job_outcome(opened, job) as tell, ExitStack() as session:
        how: dict[str, Any] = {
            "recipe": resolve_recipe(recipe),
            "backbone": Backbone(name=backbone, weights=weights),
            "seed": seed,
        }
        plan = plan_fits(opened, shards or None, ontology, **how)
        receipts: list[FitReceipt] = []
        if plan.jobs:
            from cluster.fleet import fit_fleet
            from cluster.progress import Progress
            from cluster.resources import cluster_workers
            from cluster.session import ray_session

            num_cpus = workers.local_cpus if workers else None
            session.enter_context(ray_session(num_cpus=num_cpus))
            with Progress("fit: shards", len(plan.jobs)) as progress:
                size = workers or FleetSize(most=cluster_workers())
                sizes: dict[str, Any] = {"num_workers": size.most, "min_workers": size.least}
                receipts = fit_fleet(opened.url, plan.jobs, **how, **sizes, canary=canary, progress=progress)
        elif not plan.skipped and not plan.failures:
            raise NothingToLearn(
                f"{opened.url}: no shard has annotations{f' of {ontology}' if ontology else ''}, needed some to fit on"
            )
        said: dict[str, Any] = {"recipe": how["recipe"].name, "backbone": backbone, "weights": weights, "seed": seed}
        document = _document(opened, plan, receipts, canary, **said)
        cpus = workers.local_cpus if workers else None
        document["domains"] = _describe(opened, {one["shard_id"] for one in document["shards"]}, how["backbone"], cpus)
        document["seconds"] = time.monotonic() - started
        tell(document)
    return finish(document, json, rows=_rows(document["shards"]))


def _document(
    store: "Store", plan: "FitPlan", receipts: list["FitReceipt"], canary: float | None, **settings: Any
) -> dict[str, Any]:
    from training.learning.fit_job import FitReceipt
    from training.loop.going_live import go_live

    judged = go_live(store, [FitReceipt.of(card) for card in plan.skipped], canary=canary)
    skipped = [{**one.to_json(), "skipped": True} for one in judged]
    fitted = [{**receipt.to_json(), "skipped": False} for receipt in receipts if receipt.error is None]
    for one in skipped + fitted:
        del one["error"]
    failures = [failure(shard_id, error) for shard_id, error in plan.failures.items()]
    failures += [failure(receipt.shard_id, receipt.error) for receipt in receipts if receipt.error is not None]
    shards = sorted(skipped + fitted, key=lambda one: (one["shard_id"], one["ontology"]))
    return {"shards": shards, "failures": failures, **settings}


def _describe(store: "Store", shard_ids: set[str], backbone: "Backbone", workers: int | None) -> dict[str, Any]:
    """Describe the domains that nobody has described yet; what cannot be is told and counted, and fails nothing."""
    from training.domain.describe import undescribed
    from training.errors import MicroModelError, named
    from training.models.eye import Eye

    eye, missing, failures = Eye(backbone), sorted(shard_ids), dict[str, str]()
    try:
        missing = undescribed(store, eye, shard_ids)
        if missing:
            from cluster.describing import describe_fleet

            failures = describe_fleet(store.url, missing, backbone, num_workers=workers)
    except MicroModelError as error:
        failures = dict.fromkeys(missing, named(error))
    if failures:
        typer.echo(f"\nnot described ({len(failures)}), so that the service does not know them by their looks:", err=True)
        for shard_id, why in failures.items():
            typer.echo(f"  {shard_id}: {why}", err=True)
    rows = [failure(shard_id, why) for shard_id, why in failures.items()]
    return {"eye": eye.identity, "described": len(missing) - len(rows), "failures": rows}


def _rows(shards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "shard": one["shard_id"],
            "ontology": one["ontology"],
            "generation": one["generation"],
            "seconds": "skipped" if one["skipped"] else one["seconds"],
            "live": "yes" if one["live"] else "no",
            "gate": f"{one['status']}: {one['reason']}",
        }
        for one in shards
    ]
