"""Between two generations: the simulated annotator draws an audit frame and reviews what the sampler chose."""

import random
from collections.abc import Sequence

from cluster.progress import Progress
from cluster.rounds import Key
from cluster.sampling import FramesToReview, Review, choose_review_frames
from training.loop.annotator import draw_audit, review
from training.loop.efficiency import Spent
from training.loop.simulation import Truth
from training.models.backbones import Backbone
from training.models.tasks import task_for
from training.store.store import Store

__all__ = ["review_round"]


def review_round(
    store: Store, truths: Sequence[Truth], count: int, *, backbone: Backbone, seed: int, num_workers: int
) -> tuple[set[Key], list[dict[str, str]]]:
    """One audit frame and `count` reviewed ones of each shard; a shard with fewer untouched than that, and one to judge, rests.

    Returns:
        The shards that have new labels, and those that could not be read.
    """
    pairs = [(truth, one) for truth in truths if (one := _prepare(store, truth, count, seed)) is not None]
    with Progress("choose frames: shards", len(pairs)) as progress:
        answers = choose_review_frames(
            store.url, [one for _, one in pairs], count, backbone=backbone, num_workers=num_workers, progress=progress
        )
    failures = []
    reviewed: set[Key] = set()
    for (truth, one), answer in zip(pairs, answers, strict=True):
        if answer.error is not None:
            failures.append({"shard_id": one.shard_id, "error": answer.error})
        elif answer.suggestions:
            _review(store, truth, one, answer)
            reviewed.add(truth.key)
    return reviewed, failures


def _prepare(store: Store, truth: Truth, count: int, seed: int) -> Review | None:
    """Draws the audit frame, uniformly at random and before anything is proposed; what is left may be reviewed."""
    spent = Spent.from_ledger(store.ledger.read(*truth.key), task_for(truth.ontology).seconds)
    untouched = [frame.frame_index for frame in truth.labels if frame.frame_index not in spent.touched]
    generation = store.registry.live(*truth.key)
    assert generation is not None
    if len(untouched) < count + 2:
        return None
    chance = random.Random(f"{seed} {truth.shard.shard_id} {truth.ontology.name} {len(spent.touched)}")
    audit = chance.choice(untouched)
    draw_audit(store, truth, audit)
    candidates = tuple(index for index in untouched if index != audit)
    return Review(shard_id=truth.shard.shard_id, ontology=truth.ontology.name, generation=generation, candidates=candidates)


def _review(store: Store, truth: Truth, one: Review, answer: FramesToReview) -> None:
    proposed, _ = store.predictions.read(one.shard_id, one.ontology, one.generation)
    review(store, truth, [suggestion.frame_index for suggestion in answer.suggestions], proposed, one.generation)
