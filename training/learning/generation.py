"""One generation of many shards: what is still to be fitted, and fitting it, from store to store."""

import hashlib
import logging
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from training.data.annotations import FrameLabels, labels_hash
from training.data.shards import Shard
from training.errors import CorruptLabels, MicroModelError, named
from training.learning.descend import Report
from training.learning.fit import fit_bank
from training.learning.fit_job import FitJob, FitReceipt
from training.learning.folds import calibrated
from training.learning.gather import gather
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe
from training.models.backbones import Backbone, weights_hash
from training.models.bases import own_tensors, starting_base
from training.models.device import best_device
from training.models.micro_model import MicroModel
from training.models.tasks import TASKS, GridTask
from training.store.ahead import ahead
from training.store.bases import Base
from training.store.card import Card
from training.store.store import Store

__all__ = ["FitPlan", "fit_jobs", "plan_fits"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPlan:
    """jobs: to do. skipped: published and decided on already. failures: what cannot be planned, 'shard ontology' -> why."""

    jobs: list[FitJob]
    skipped: list[Card]
    failures: dict[str, str]


def plan_fits(
    store: Store,
    shard_ids: Sequence[str] | None,
    ontology: str | None,
    *,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
) -> FitPlan:
    """What has to be fitted so that every shard asked for has a micro-model of its present labels.

    Work whose publisher died before anybody decided on it is a job too; it is not fitted again.

    Args:
        shard_ids: None for every shard that has annotations of a task this version can fit.
        ontology: None for every such ontology of each shard.
    Raises:
        UnknownShard, UnknownOntology: named explicitly and not in the store.
        BadBackbone: the starting weights cannot be used.
    """
    fittable = {one.name for one in store.ontologies() if one.task in TASKS}
    if ontology is not None:
        store.ontology(ontology)
    shards = store.shards() if shard_ids is None else [store.shard(shard_id) for shard_id in shard_ids]
    start = weights_hash(backbone)

    def plan(shard: Shard) -> list[FitJob | Card] | CorruptLabels:
        try:
            return planned_of(shard)
        except CorruptLabels as error:
            return error

    def planned_of(shard: Shard) -> list[FitJob | Card]:
        names = [name for name in store.labelled(shard.shard_id) if name in fittable and ontology in (None, name)]
        found = {name: labels for name in names if (labels := store.labels_to_fit(shard.shard_id, name))}
        keys = {name: _fit_key(shard, labels, recipe, backbone, start, seed) for name, labels in found.items()}
        return [_done(store, shard.shard_id, name, key) or _job(shard, name, key) for name, key in keys.items()]

    planned = {shard.shard_id: found for shard, found in zip(shards, ahead(plan, shards), strict=True)}
    corrupt = {shard_id: named(found) for shard_id, found in planned.items() if isinstance(found, CorruptLabels)}
    every = [one for found in planned.values() if isinstance(found, list) for one in found]
    nothing = [shard_id for shard_id, found in planned.items() if found == [] and shard_ids is not None]
    return FitPlan(
        jobs=[one for one in every if isinstance(one, FitJob)],
        skipped=[one for one in every if isinstance(one, Card)],
        failures=corrupt
        | {shard_id: f"{shard_id}: no annotations of {ontology or 'any task'} to fit on" for shard_id in nothing},
    )


def _done(store: Store, shard_id: str, ontology: str, fit_key: str) -> Card | None:
    """The generation that is this work, if it was decided on too."""
    card = store.registry.find(shard_id, ontology, fit_key)
    decided = card is not None and store.registry.decision(shard_id, ontology, card.generation) is not None
    return card if decided else None


def _job(shard: Shard, ontology: str, fit_key: str) -> FitJob:
    return FitJob(shard_id=shard.shard_id, ontology=ontology, fit_key=fit_key)


def fit_jobs(
    store: Store,
    jobs: Sequence[FitJob],
    *,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    report: Report = lambda shard_id, step, metrics: None,
) -> list[FitReceipt]:
    """Fit a bundle as one bank and publish each micro-model; one receipt per job, in order. `go_live` takes them from there.

    What is published already is not fitted again. One bad shard is an error in its receipt and stops no other.

    Raises:
        Exception: what breaks the bank as a whole, such as no memory for it; nothing of its bundle is published.
    """
    receipts: dict[FitJob, FitReceipt] = {}
    for ontology in dict.fromkeys(job.ontology for job in jobs):
        same = [job for job in jobs if job.ontology == ontology]
        receipts.update(_fit_bundle(store, same, recipe, backbone, seed, report))
    return [receipts[job] for job in jobs]


def _fit_bundle(
    store: Store, jobs: Sequence[FitJob], recipe: Recipe, backbone: Backbone, seed: int, report: Report
) -> dict[FitJob, FitReceipt]:
    started = time.monotonic()
    receipts: dict[FitJob, FitReceipt] = {}
    bundle: dict[FitJob, LabelledFrames] = {}
    for job in jobs:
        try:
            if published := store.registry.find(job.shard_id, job.ontology, job.fit_key):
                receipts[job] = FitReceipt.of(published)
            else:
                bundle[job] = gather(store, job.shard_id, job.ontology, recipe)
        except Exception as error:
            receipts[job] = _failure(job, error)
    bank = fit_bank(list(bundle.values()), recipe=recipe, backbone=backbone, seed=seed, device=best_device(), report=report)
    seconds = (time.monotonic() - started) / max(1, len(bundle))
    for job, labelled in bundle.items():
        try:
            if job.shard_id in bank.failures:
                raise bank.failures[job.shard_id]
            began = time.monotonic()
            model, metrics = calibrated(
                bank.models[job.shard_id], labelled, recipe=recipe, backbone=backbone, seed=seed, device=best_device()
            )
            spent = seconds + time.monotonic() - began
            receipts[job] = _publish(
                store, job, labelled, model, metrics, recipe, backbone, seed, spent, bank.started_from.get(job.shard_id)
            )
        except Exception as error:
            receipts[job] = _failure(job, error)
    return receipts


def _publish(
    store: Store,
    job: FitJob,
    labelled: LabelledFrames,
    model: MicroModel,
    metrics: dict[str, float],
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    seconds: float,
    started_from: str | None,
) -> FitReceipt:
    base = _base(labelled, model, recipe, backbone, seed, started_from)
    own = None if base is None else own_tensors(model.network.config, model.tensors(), base)
    card = store.registry.publish(
        Card(
            shard_id=job.shard_id,
            ontology=job.ontology,
            task=labelled.ontology.task,
            classes=labelled.ontology.classes,
            generation=0,
            parent=store.registry.live(job.shard_id, job.ontology),
            started_from=started_from,
            network=model.to_json(),
            recipe=recipe.to_json(),
            backbone=asdict(backbone),
            labels_hash=labels_hash(labelled.labels),
            source_hash=store.shard(job.shard_id).content_hash,
            fit_key=job.fit_key,
            num_labelled=len(labelled.labels),
            metrics=metrics,
            fit_seconds=seconds,
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            threads=torch.get_num_threads(),
            seed=seed,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            versions={name: version(name) for name in ("torch", "torchvision", "micromodels")},
            git_sha=_git_sha(),
        ),
        model.tensors() if own is None else own,
        None if own is None else base,
    )
    return replace(FitReceipt.of(card), seconds=seconds)


def _base(
    labelled: LabelledFrames, model: MicroModel, recipe: Recipe, backbone: Backbone, seed: int, started_from: str | None
) -> Base | None:
    """The trunk that the fit started from, if it may have kept any of it."""
    if recipe.parameters == "full" and not isinstance(model.task, GridTask):
        return None
    if started_from is not None and labelled.start is not None:
        return labelled.start.base
    return starting_base(backbone, seed)


def _fit_key(shard: Shard, labels: Sequence[FrameLabels], recipe: Recipe, backbone: Backbone, start: str, seed: int) -> str:
    parts = (shard.content_hash, str(shard.first_frame), labels_hash(labels), recipe.identity(), backbone.name, start, str(seed))
    digest = hashlib.sha256("\x1e".join(parts).encode())
    return f"sha256:{digest.hexdigest()}"


def _failure(job: FitJob, error: Exception) -> FitReceipt:
    """With its traceback in the log, unless it is one of ours, whose text says all."""
    trace = None if isinstance(error, MicroModelError) else error
    log.warning("fit failed shard_id=%s ontology=%s error=%s", job.shard_id, job.ontology, error, exc_info=trace)
    return FitReceipt(shard_id=job.shard_id, ontology=job.ontology, error=named(error))


@cache
def _git_sha() -> str | None:
    """Of the checkout this code lies in; None in an installed copy or without git."""
    root = Path(__file__).resolve().parents[2]
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
