"""The yardstick: a simulated annotator labels a few frames, the fleet fits and labels, the ground truth judges.

It drives the same functions as `fit` and `label`, on Ray, so that it measures what users run.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from cluster.fleet import fit_fleet
from cluster.label import label_fleet
from cluster.progress import Progress
from cluster.sampling import choose_first_frames
from training.data.coco import read_coco
from training.data.folder import SourceWithLabels
from training.data.sources import probe
from training.errors import BadInput, MicroModelError
from training.learning.generation import FitReceipt, plan_fits
from training.learning.labelling import ClipReceipt, plan_clips
from training.learning.recipes import Recipe
from training.loop.simulation import Truth, baselines, draw_labels, judge, medians
from training.models.backbones import Backbone
from training.models.tasks import TASKS
from training.store.store import Store

__all__ = ["TILE", "Round", "enter", "fit_and_label", "simulate"]

TILE = 128  # pixels; scenes are cut into a fixed, non-overlapping grid
Key = tuple[str, str]  # shard id, ontology name


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one generation of the fleet cost and what failed; keys are (shard id, ontology)."""

    fits: Mapping[Key, FitReceipt]
    label_seconds: Mapping[Key, float]
    failures: list[dict[str, str]]


def simulate(
    store: Store,
    sources: Sequence[SourceWithLabels],
    *,
    task: str | None,
    labels: int,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    num_workers: int,
) -> dict[str, Any]:
    """Run one generation over every (shard, task) the labels allow; the JSON of DESIGN's `simulate`.

    Needs a running Ray.
    """
    entered, failures = enter(store, sources, task=task)
    touched, unreadable = _label_first(store, entered, labels, backbone, num_workers)
    truths = [truth for truth in entered if _key(truth) in touched]
    done = fit_and_label(store, truths, recipe=recipe, backbone=backbone, seed=seed, num_workers=num_workers)
    entries = [_entry(store, truth, touched[_key(truth)], done) for truth in truths if _key(truth) in done.label_seconds]
    return {
        "shards": entries,
        "failures": failures + unreadable + done.failures,
        "medians": medians(entries),
        "versions": {name: version(name) for name in ("micromodels", "ray", "torch", "torchvision")},
        "seed": seed,
        "labels": labels,
        "recipe": recipe.to_json(),
        "backbone": {"name": backbone.name, "weights": backbone.weights},
    }


def enter(
    store: Store, sources: Sequence[SourceWithLabels], *, task: str | None, tile: int = TILE
) -> tuple[list[Truth], list[dict[str, str]]]:
    """Add every source to the store without its labels, which are returned, with one failure row for each bad source."""
    truths: list[Truth] = []
    failures: list[dict[str, str]] = []
    for source in sources:
        try:
            truths += _enter_one(store, source, task, tile)
        except MicroModelError as error:
            failures.append(_failure(source.shard_id, f"{type(error).__name__}: {error}"))
    return truths, failures


def fit_and_label(
    store: Store, truths: Sequence[Truth], *, recipe: Recipe, backbone: Backbone, seed: int, num_workers: int
) -> Round:
    """What `fit` and then `label` do for these shards."""
    wanted = {_key(truth) for truth in truths}
    shard_ids = sorted({shard_id for shard_id, _ in wanted})
    plan = plan_fits(store, shard_ids, None, recipe=recipe, backbone=backbone, seed=seed)
    jobs = [job for job in plan.jobs if (job.shard_id, job.ontology) in wanted]
    with Progress("fit: shards", len(jobs)) as progress:
        receipts = fit_fleet(
            store.url, jobs, recipe=recipe, backbone=backbone, seed=seed, num_workers=num_workers, progress=progress
        )
    fits = {(receipt.shard_id, receipt.ontology): receipt for receipt in receipts} | {
        (card.shard_id, card.ontology): FitReceipt(
            shard_id=card.shard_id, ontology=card.ontology, generation=card.generation, seconds=card.fit_seconds
        )
        for card in plan.skipped
    }
    clips = [clip for clip in plan_clips(store, shard_ids, None).clips if (clip.shard_id, clip.ontology) in wanted]
    with Progress("label: clips", len(clips)) as progress:
        labelled = label_fleet(store.url, clips, num_workers=num_workers, progress=progress)
    failures = [_failure(receipt.shard_id, receipt.error) for receipt in receipts if receipt.error]
    failures += [_failure(receipt.shard_id, receipt.error) for receipt in labelled if receipt.error]
    fitted = [key for key, receipt in fits.items() if receipt.error is None]
    return Round(fits=fits, label_seconds=_label_seconds(fitted, labelled), failures=failures)


def _enter_one(store: Store, source: SourceWithLabels, task: str | None, tile: int) -> list[Truth]:
    if source.labels is None:
        raise BadInput(f"{source.path}: no {source.shard_id}.coco.json beside it, needed the ground truth")
    shard = probe(source.path, shard_id=source.shard_id, tile=tile, stride=tile)
    found = read_coco(source.labels, shard).labels
    wanted = [said for name, said in found.items() if name in TASKS and task in (None, name)]
    if task in TASKS and not wanted:
        raise BadInput(f"{source.labels}: no {task} labels, found {', '.join(found) or 'none'}")
    store.add_shard(shard)
    for ontology, _ in wanted:
        store.add_ontology(ontology)
    return [Truth(shard=shard, ontology=ontology, labels=labels) for ontology, labels in wanted]


def _label_first(
    store: Store, truths: Sequence[Truth], count: int, backbone: Backbone, num_workers: int
) -> tuple[dict[Key, tuple[int, ...]], list[dict[str, str]]]:
    """Draw everything on the frames that represent each shard best; which they were, and the shards that cannot be read."""
    shards = [(truth.shard, [frame.frame_index for frame in truth.labels]) for truth in truths]
    with Progress("choose frames: shards", len(shards)) as progress:
        answers = choose_first_frames(shards, count, backbone=backbone, num_workers=num_workers, progress=progress)
    touched = {_key(truth): answer.frame_indices for truth, answer in zip(truths, answers, strict=True) if answer.error is None}
    for truth in truths:
        if _key(truth) in touched:
            draw_labels(store, truth, touched[_key(truth)])
    failed = [(truth, answer.error) for truth, answer in zip(truths, answers, strict=True) if answer.error is not None]
    return touched, [_failure(truth.shard.shard_id, error) for truth, error in failed]


def _entry(store: Store, truth: Truth, touched: Sequence[int], done: Round) -> dict[str, Any]:
    shard_id, ontology = _key(truth)
    generation = done.fits[shard_id, ontology].generation
    assert generation is not None
    predicted, unreadable = store.predictions.read(shard_id, ontology, generation)
    return {
        "shard_id": shard_id,
        "task": truth.ontology.task,
        "frames": len(truth.labels),
        "objects": truth.num_objects,
        "generations": [
            {
                "generation": generation,
                **judge(truth, predicted, touched),
                "frames_unreadable": len(unreadable),
                "fit_seconds": done.fits[shard_id, ontology].seconds,
                "label_seconds": done.label_seconds[shard_id, ontology],
            }
        ],
        "baselines": baselines(truth, touched),
    }


def _label_seconds(fitted: Sequence[Key], receipts: Sequence[ClipReceipt]) -> dict[Key, float]:
    """Decoding and model seconds of every fitted shard; 0 where all clips were labelled before."""
    seconds: dict[Key, float] = defaultdict(float, dict.fromkeys(fitted, 0.0))
    for receipt in receipts:
        seconds[receipt.shard_id, receipt.ontology] += receipt.decode_seconds + receipt.model_seconds
    return dict(seconds)


def _key(truth: Truth) -> Key:
    return truth.shard.shard_id, truth.ontology.name


def _failure(shard_id: str, error: str) -> dict[str, str]:
    return {"shard_id": shard_id, "error": error}
