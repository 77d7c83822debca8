"""One round of the loop: what `fit` and then `label` do for some shards."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cluster.fleet import fit_fleet
from cluster.label import label_fleet
from cluster.progress import Progress
from training.learning.fit_job import FitReceipt
from training.learning.generation import plan_fits
from training.learning.labelling import ClipReceipt, plan_clips
from training.learning.recipes import Recipe
from training.models.backbones import Backbone
from training.store.store import Store

__all__ = ["Key", "Round", "fit_and_label"]

Key = tuple[str, str]  # shard id, ontology name


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one generation of the fleet cost and what failed; keys are (shard id, ontology)."""

    fits: Mapping[Key, FitReceipt]
    label_seconds: Mapping[Key, float]
    failures: list[dict[str, str]]


def fit_and_label(
    store: Store, wanted: Collection[Key], *, recipe: Recipe, backbone: Backbone, seed: int, num_workers: int
) -> Round:
    """What `fit` and then `label` do for these shards."""
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
    failures = [_failure(fit.shard_id, fit.error) for fit in receipts if fit.error]
    failures += [_failure(clip.shard_id, clip.error) for clip in labelled if clip.error]
    fitted = [key for key, receipt in fits.items() if receipt.error is None]
    return Round(fits=fits, label_seconds=_label_seconds(fitted, labelled), failures=failures)


def _label_seconds(fitted: Sequence[Key], receipts: Sequence[ClipReceipt]) -> dict[Key, float]:
    """Decoding and model seconds of every fitted shard; 0 where all clips were labelled before."""
    seconds: dict[Key, float] = defaultdict(float, dict.fromkeys(fitted, 0.0))
    for receipt in receipts:
        seconds[receipt.shard_id, receipt.ontology] += receipt.decode_seconds + receipt.model_seconds
    return dict(seconds)


def _failure(shard_id: str, error: str) -> dict[str, str]:
    return {"shard_id": shard_id, "error": error}
