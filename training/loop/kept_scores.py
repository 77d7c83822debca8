"""Scores of recipes in the store: what was measured once, on the same labels and device, is not measured again."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from training.data.annotations import labels_hash
from training.data.shards import Shard
from training.errors import AlreadyExists, MissingObject, StoreUnusable
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe
from training.learning.resolution import input_scale
from training.loop.objective import HeldOutScore
from training.models.tasks import GridTask, task_for
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.store import Store

__all__ = ["keep_score", "kept_score", "score_key"]


def score_key(shard: Shard, labelled: LabelledFrames, recipe: Recipe, *conditions: str) -> str:
    """Where the store keeps the score of a recipe; equal keys mean equal labels, frames, fits and conditions.

    Recipes differ by what they do, not by their names; where a head is solved in closed form, by the resolution alone.

    Args:
        conditions: whatever else a score depends on: folds, backbone, seed, device, threads.
    """
    parts = (
        shard.content_hash,
        str(shard.first_frame),
        labels_hash(labelled.labels),
        str(labelled.others_scale),
        _identity(labelled, recipe),
        *conditions,
    )
    return f"scores/{hashlib.sha256(chr(30).join(parts).encode()).hexdigest()}.json"


def kept_score(store: Store, key: str) -> HeldOutScore | None:
    """What was measured before, if it was.

    Raises:
        StoreUnusable: what is kept there is no score.
    """
    try:
        document = from_json_bytes(store.objects.read(key), key)
    except MissingObject:
        return None
    try:
        return HeldOutScore.from_json(document["score"])
    except (KeyError, TypeError) as error:
        raise StoreUnusable(f"{key}: {error}, needed a score as this software writes it") from error


def keep_score(store: Store, key: str, score: HeldOutScore, recipe: Recipe) -> None:
    """Remember a score; whoever came first is believed."""
    document = {"score": score.to_json(), "recipe": recipe.to_json()}
    with suppress(AlreadyExists):
        store.objects.create(key, to_json_bytes(document, key))


def _identity(labelled: LabelledFrames, recipe: Recipe) -> str:
    task = task_for(labelled.ontology)
    if not isinstance(task, GridTask):
        return replace(recipe, name="any").identity()
    frame = labelled.frames[0]
    sizes: Sequence[float] = task.object_sizes(labelled.labels)
    return f"scale {input_scale(sizes, width=frame.width, height=frame.height, recipe=recipe)}"
