"""`prelabel`: labels from a detector that was trained on COCO, and whether they are any use here."""

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.label import by_shard, clip_failures
from cluster.cli.output import JsonOption, StoreOption, WorkersOption, failure, finish
from training.errors import BadInput

if TYPE_CHECKING:
    from training.loop.domain_check import DomainCheck
    from training.loop.prelabel import PrelabelJob, PrelabelPlan

__all__ = ["prelabel"]


def prelabel(
    store: StoreOption,
    shards: Annotated[list[str] | None, typer.Argument(metavar="SHARD", help="Only these; all by default.")] = None,
    ontology: Annotated[
        str | None, typer.Option(help="This ontology, of shards that nobody labelled too; what each has labels of by default.")
    ] = None,
    model: Annotated[str, typer.Option(help="A torchvision R-CNN; auto takes the usual one of the task.")] = "auto",
    weights: Annotated[str, typer.Option(help="auto, COCO_V1, a path or s3://…")] = "auto",
    map: Annotated[  # noqa: A002
        str, typer.Option(metavar="THEIRS=OURS,…", help="Classes and keypoints of COCO that are called otherwise here.")
    ] = "",
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Detections less sure than this are left out.")] = 0.5,
    check: Annotated[bool, typer.Option("--check", help="Only compare with the labelled frames; write no labels.")] = False,
    workers: WorkersOption = None,
    json: JsonOption = None,
) -> int:
    """Label every frame with a detector trained on COCO, and say how far its labels agree with the few that people made.

    Clips that are written already are skipped; another detector or other settings replace what was written before.

    Example: micromodels prelabel --store ./store --check --map car=Car,truck=Car
    """
    from cluster.label import label_fleet
    from cluster.prelabel import check_fleet
    from cluster.progress import Progress
    from cluster.resources import cluster_workers
    from cluster.session import ray_session
    from training.loop.prelabel import Prelabeller, begin, plan_prelabels
    from training.store.store import Store

    started = time.monotonic()
    opened = Store.open(store)
    plan = plan_prelabels(
        opened, shards or None, ontology, model=model, weights=weights, renamed=_renamed(map), min_score=min_score
    )
    _tell_unknown(plan)
    checks: list[DomainCheck | str] = []
    receipts = []
    if plan.jobs:
        with ray_session(num_cpus=workers):
            num_workers = workers or cluster_workers()
            with Progress("check: shards", len(plan.jobs)) as progress:
                checks = check_fleet(opened.url, plan.jobs, num_workers=num_workers, progress=progress)
            clips = [] if check else [clip for job in plan.jobs for clip in begin(opened, job)]
            with Progress("prelabel: clips", len(clips)) as progress:
                labeller = partial(Prelabeller, jobs=plan.jobs)
                receipts = label_fleet(opened.url, clips, num_workers=num_workers, progress=progress, labeller=labeller)
    written = {(one["shard_id"], one["ontology"]): one for one in by_shard(receipts)}
    results = [
        _result(plan, job, found, written.get((job.shard_id, job.ontology), {}))
        for job, found in zip(plan.jobs, checks, strict=True)
    ]
    failures = [failure(*one) for one in plan.failures] + list(clip_failures(receipts))
    failures += [
        failure(job.shard_id, f"check: {found}") for job, found in zip(plan.jobs, checks, strict=True) if isinstance(found, str)
    ]
    document = {"shards": results, "failures": failures, "seconds": time.monotonic() - started}
    return finish(document, json, rows=[_row(one) for one in results])


def _renamed(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    for theirs, equals, ours in pairs:
        if not (theirs and equals and ours):
            raise BadInput(f"--map {theirs}{equals}{ours}: needed THEIRS=OURS, as in car=Car,truck=Car")
    return {theirs.strip(): ours.strip() for theirs, _, ours in pairs}


def _tell_unknown(plan: "PrelabelPlan") -> None:
    for name, vocabulary in plan.vocabularies.items():
        if vocabulary.unknown:
            typer.echo(f"{name}: the detector cannot know {', '.join(vocabulary.unknown)}", err=True)


def _result(plan: "PrelabelPlan", job: "PrelabelJob", found: "DomainCheck | str", written: dict[str, Any]) -> dict[str, Any]:
    vocabulary = plan.vocabularies[job.ontology]
    return {
        "shard_id": job.shard_id,
        "ontology": job.ontology,
        "model": job.detector.name,
        "classes": sorted(set(vocabulary.classes.values())),
        "unknown": list(vocabulary.unknown),
        "check": None if isinstance(found, str) else found.to_json(),
        **{name: written.get(name, 0) for name in ("clips", "frames", "objects", "errors", "decode_seconds", "model_seconds")},
    }


def _row(one: dict[str, Any]) -> dict[str, Any]:
    check = one["check"] or {}
    numbers = ("precision", "recall", "tight_recall", "verdict")
    return {
        "shard": one["shard_id"],
        "ontology": one["ontology"],
        "model": one["model"],
        "labelled_frames": check.get("frames"),
        "labelled_objects": check.get("objects"),
        **{name: check.get(name) for name in numbers},
        "frames": one["frames"],
        "objects": one["objects"],
    }
