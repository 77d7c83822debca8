"""The neighbour that learned elsewhere: a pre-trained detector labels everything, and the ground truth judges it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cluster.label import label_fleet
from cluster.prelabel import check_fleet
from cluster.progress import Progress
from cluster.rounds import Key
from training.errors import BadBackbone, MicroModelError
from training.loop.prelabel import PrelabelJob, Prelabeller, begin, plan_prelabels
from training.loop.simulation import Truth, drawn_by_hand, judge
from training.store.predictions import PRELABELS
from training.store.store import Store

__all__ = ["PrelabelRun", "judge_prelabels", "plan_neighbour"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrelabelRun:
    """jobs: what a detector can label. about: of each shard and ontology, the detector and its words, or why there is none."""

    jobs: list[PrelabelJob] = field(default_factory=list)
    about: dict[Key, dict[str, Any]] = field(default_factory=dict)


def plan_neighbour(store: Store, truths: Sequence[Truth], *, model: str, weights: str) -> PrelabelRun:
    """What can be labelled by the detector of each task; the ontologies must be in the store.

    Raises:
        BadBackbone: the weights fit no task that has a detector.
    """
    run, bad = PrelabelRun(), []
    for truth in truths:
        try:
            plan = plan_prelabels(store, [truth.shard.shard_id], truth.ontology.name, model=model, weights=weights, renamed={})
        except MicroModelError as error:
            bad += [error] if isinstance(error, BadBackbone) else []
            run.about[truth.key] = {"why_not": f"{type(error).__name__}: {error}"}
            continue
        run.jobs.extend(plan.jobs)
        for job in plan.jobs:
            vocabulary = plan.vocabularies[job.ontology]
            known = {"classes": sorted(set(vocabulary.classes.values())), "unknown": list(vocabulary.unknown)}
            run.about[truth.key] = {"why_not": None, "model": job.detector.name, **known}
        for _, why_not in plan.failures:
            run.about[truth.key] = {"why_not": why_not}
    if bad and not run.jobs:
        raise bad[0]
    return run


def judge_prelabels(
    store: Store, truths: Mapping[Key, Truth], run: PrelabelRun, *, num_workers: int
) -> tuple[dict[Key, dict[str, Any]], list[dict[str, str]]]:
    """Of every job: the domain check with the labels people made so far, and the detector's labels where nobody touched any.

    Returns:
        What `judge` says, with `check` in it; and one failure row for each shard whose frames could not be labelled.
    """
    jobs = [job for job in run.jobs if (job.shard_id, job.ontology) in truths]
    with Progress("check prelabels: shards", len(jobs)) as progress:
        checks = check_fleet(store.url, jobs, num_workers=num_workers, progress=progress)
    clips = [clip for job in jobs for clip in begin(store, job)]
    with Progress("prelabel: clips", len(clips)) as progress:
        labeller = partial(Prelabeller, jobs=jobs)
        receipts = label_fleet(store.url, clips, num_workers=num_workers, progress=progress, labeller=labeller)
    failures = [{"shard_id": one.shard_id, "error": f"prelabel: {one.error}"} for one in receipts if one.error]
    judged: dict[Key, dict[str, Any]] = {}
    for job, check in zip(jobs, checks, strict=True):
        key = job.shard_id, job.ontology
        predicted, unreadable = store.predictions.read(*key, PRELABELS)
        judged[key] = judge(truths[key], predicted, drawn_by_hand(truths[key], []))
        judged[key] |= {"frames_unreadable": len(unreadable)}
        if isinstance(check, str):
            failures.append({"shard_id": job.shard_id, "error": f"prelabel check: {check}"})
        else:
            judged[key]["check"] = check.to_json()
    return judged, failures
