"""Which frames people should look at next, over the whole fleet under one budget; left in the store for whoever shows them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean
from typing import Any

from cluster.progress import Progress
from cluster.sampling import Review, choose_first_frames, choose_review_frames
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.loop.suggestion import Suggestion, affordable, recharged, to_audit, to_label_first
from training.loop.timings import Timings, charged_seconds, where_from
from training.models.actions import BOX_SECONDS, Seconds
from training.models.backbones import Backbone
from training.models.tasks import TASKS, task_for
from training.store.queue import QueuedFrame
from training.store.store import Store

__all__ = ["next_frames"]

MOST = 100  # frames of one shard at a time; after so many, another generation knows better


@dataclass(slots=True)
class _Plan:
    """first: shards without labels, and what those will be. waiting: what has labels and no machine labels to review yet.

    audits: for each review the frame to audit, if this round has none yet.
    """

    first: list[tuple[Shard, Ontology | None]] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    audits: list[int | None] = field(default_factory=list)
    waiting: list[dict[str, Any]] = field(default_factory=list)


def next_frames(
    store: Store,
    shard_ids: Sequence[str] | None,
    ontology: str | None,
    *,
    labels: int,
    frames: int | None,
    budget_s: float | None,
    backbone: Backbone,
    num_workers: int,
    timings: Timings | None = None,
) -> dict[str, Any]:
    """The frames most worth a person's time, best first, as `next --json` writes them. Needs a running Ray.

    They replace what was in the store's queue.

    Args:
        labels: frames of a shard that nobody labelled yet.
        frames, budget_s: at most so many frames, and seconds of work; None for no limit.
        timings: in the place of what the ledger measured and of the table.
    Raises:
        UnknownShard, UnknownOntology: named and not in the store.
    """
    plan = _plan(store, shard_ids, ontology)
    seconds = charged_seconds(store, shard_ids, ontology, timings)
    found, failures = _first(plan, labels, seconds, backbone, num_workers)
    with Progress("choose frames to review: shards", len(plan.reviews)) as progress:
        answers = choose_review_frames(
            store.url,
            plan.reviews,
            MOST if frames is None else frames,
            backbone=backbone,
            num_workers=num_workers,
            progress=progress,
        )
    for review, audit, answer in zip(plan.reviews, plan.audits, answers, strict=True):
        found += _round(store, review, audit, answer.suggestions, seconds[review.ontology])
        if answer.error is not None:
            failures.append({"shard_id": review.shard_id, "error": answer.error})
    chosen = affordable(found, frames=frames, budget_s=budget_s)
    number = store.queue.replace([_queued(one) for one in chosen])
    return {
        "queue": number,
        "frames": [{**asdict(one), "worth": one.worth} for one in chosen],
        "waiting": plan.waiting,
        "failures": failures,
        "seconds": sum(one.costs_s for one in chosen),
        "seconds_by_action": {name: where_from(one, store.ontology(name), timings) for name, one in seconds.items()},
    }


def _plan(store: Store, shard_ids: Sequence[str] | None, ontology: str | None) -> _Plan:
    plan = _Plan()
    known = {one.name: one for one in store.ontologies() if one.task in TASKS}
    if ontology is not None:
        known = {ontology: store.ontology(ontology)}
    for shard in store.shards() if shard_ids is None else [store.shard(name) for name in shard_ids]:
        names = [name for name in store.labelled(shard.shard_id) if name in known]
        if not names:
            plan.first.append((shard, next(iter(known.values())) if len(known) == 1 else None))
        for name in names:
            _plan_review(store, shard, name, plan)
    return plan


def _plan_review(store: Store, shard: Shard, ontology: str, plan: _Plan) -> None:
    generation = store.registry.live(shard.shard_id, ontology)
    if generation is None or not store.predictions.done(shard.shard_id, ontology, generation):
        missing = "fit" if generation is None else "label"
        plan.waiting.append({"shard_id": shard.shard_id, "ontology": ontology, "needs": missing})
        return
    touched = set(_touched(store, shard.shard_id, ontology))
    untouched = [index for index in range(shard.num_frames) if index not in touched]
    audit = _audit(store, shard.shard_id, ontology, generation, untouched)
    candidates = tuple(index for index in untouched if index != audit)
    plan.reviews.append(Review(shard_id=shard.shard_id, ontology=ontology, generation=generation, candidates=candidates))
    plan.audits.append(audit)


def _audit(store: Store, shard_id: str, ontology: str, generation: int, untouched: Sequence[int]) -> int | None:
    """One a generation, uniformly at random; asking again draws no other one. None where nothing would be left to review."""
    audits = len(store.audit_frames(shard_id, ontology))
    if audits >= generation or len(untouched) < 2:
        return None
    return min(untouched, key=lambda index: random.Random(f"{shard_id} {ontology} {audits} {index}").random())


def _round(store: Store, review: Review, audit: int | None, chosen: Sequence[Suggestion], seconds: Seconds) -> list[Suggestion]:
    """What a person does with one generation: the audit frame, and the reviews."""
    task = task_for(store.ontology(review.ontology))
    reviews = [replace(recharged(one, task.seconds, seconds), generation=review.generation) for one in chosen]
    if audit is None or not reviews:
        return reviews
    usual = fmean(task.num_objects(frame) for frame in store.labels_to_fit(review.shard_id, review.ontology))
    return [to_audit(max(reviews, key=lambda one: one.worth), audit, usual, seconds), *reviews]


def _queued(one: Suggestion) -> QueuedFrame:
    return QueuedFrame(**{name: getattr(one, name) for name in QueuedFrame.__dataclass_fields__})


def _touched(store: Store, shard_id: str, ontology: str) -> Iterator[int]:
    """Frames that have labels, and those that somebody worked on."""
    yield from (frame.frame_index for frame in store.labels(shard_id, ontology))
    yield from (action.frame_index for action in store.ledger.read(shard_id, ontology))


def _first(
    plan: _Plan, labels: int, seconds: Mapping[str, Seconds], backbone: Backbone, num_workers: int
) -> tuple[list[Suggestion], list[dict[str, str]]]:
    shards = [(shard, range(shard.num_frames)) for shard, _ in plan.first]
    with Progress("choose first frames: shards", len(shards)) as progress:
        answers = choose_first_frames(shards, labels, backbone=backbone, num_workers=num_workers, progress=progress)
    found: list[Suggestion] = []
    failures: list[dict[str, str]] = []
    for (shard, ontology), answer in zip(plan.first, answers, strict=True):
        if answer.error is None:
            name = None if ontology is None else ontology.name
            # boxes, where nobody said yet what will be labelled
            charged = BOX_SECONDS if ontology is None else seconds.get(ontology.name) or task_for(ontology).seconds
            found += to_label_first(shard, name, answer.frame_indices, charged)
        else:
            failures.append({"shard_id": shard.shard_id, "error": answer.error})
    return found, failures
