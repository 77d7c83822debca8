"""Choose the frames that people should look at, over many shards at once: one Ray task a shard."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from cluster.lost import why_lost
from cluster.progress import Progress
from cluster.resources import plan_workers
from training.data.shards import Shard
from training.errors import MicroModelError
from training.loop.revisit import frames_to_review
from training.loop.sample import representative_frames
from training.loop.suggestion import Suggestion
from training.models.backbones import Backbone
from training.models.device import compute_with
from training.store.store import Store

__all__ = ["FramesToLabel", "FramesToReview", "Review", "choose_first_frames", "choose_review_frames"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesToLabel:
    """The frames of a shard that a person should label first; none of them and an error if it could not be read."""

    frame_indices: tuple[int, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What one generation said about a shard is to be reviewed; candidates: frames nobody touched, increasing."""

    shard_id: str
    ontology: str
    generation: int
    candidates: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesToReview:
    """What a person should review next, best first; none and an error if the shard could not be read."""

    suggestions: tuple[Suggestion, ...] = ()
    error: str | None = None


def choose_first_frames(
    shards: Sequence[tuple[Shard, Sequence[int]]],
    count: int,
    *,
    backbone: Backbone,
    num_workers: int,
    progress: Progress | None = None,
) -> list[FramesToLabel]:
    """One answer for each shard and the frames that may be chosen, in order. Needs a running Ray."""
    arguments = [(shard, list(candidates), count, backbone) for shard, candidates in shards]
    answers = _ask_each(_first, arguments, num_workers, progress)
    return [FramesToLabel(error=one) if isinstance(one, str) else FramesToLabel(frame_indices=tuple(one)) for one in answers]


def choose_review_frames(
    store_url: str,
    reviews: Sequence[Review],
    count: int,
    *,
    backbone: Backbone,
    num_workers: int,
    progress: Progress | None = None,
) -> list[FramesToReview]:
    """Up to `count` frames for each review, in order. Needs a running Ray."""
    answers = _ask_each(_next, [(store_url, review, count, backbone) for review in reviews], num_workers, progress)
    return [FramesToReview(error=one) if isinstance(one, str) else FramesToReview(suggestions=tuple(one)) for one in answers]


def _first(shard: Shard, candidates: list[int], count: int, backbone: Backbone) -> list[int]:
    return representative_frames(shard, candidates, count, backbone=backbone)


def _next(store_url: str, review: Review, count: int, backbone: Backbone) -> list[Suggestion]:
    store = Store.open(store_url)
    predicted, _ = store.predictions.read(review.shard_id, review.ontology, review.generation)
    return frames_to_review(
        store.shard(review.shard_id),
        store.ontology(review.ontology),
        labels=store.labels_to_fit(review.shard_id, review.ontology),
        predicted=predicted,
        candidates=review.candidates,
        count=count,
        backbone=backbone,
    )


def _ask_each(
    function: Callable[..., list[Any]], arguments: Sequence[tuple[Any, ...]], num_workers: int, progress: Progress | None
) -> list[list[Any] | str]:
    """What the function says of each, or what went wrong."""
    if not arguments:
        return []
    shape = plan_workers(num_workers, len(arguments))
    task = ray.remote(num_cpus=shape.cpus, runtime_env={"env_vars": shape.thread_env})(_answered)
    pending = [task.remote(function, some, shape.cpus) for some in arguments]
    _wait(pending, progress)
    return [_answer(reference) for reference in pending]


def _answered(function: Callable[..., list[Any]], arguments: tuple[Any, ...], cpus: int) -> list[Any] | str:
    compute_with(cpus)
    try:
        return function(*arguments)
    except MicroModelError as error:
        return f"{type(error).__name__}: {error}"


def _wait(pending: Sequence[Any], progress: Progress | None) -> None:
    """Until all are over, saying how many are."""
    waiting = list(pending)
    while waiting:
        _, waiting = ray.wait(waiting)
        if progress is not None:
            progress.update(len(pending) - len(waiting))


def _answer(reference: Any) -> list[Any] | str:
    """A task whose process died in every attempt is an error of its shard."""
    try:
        answer: list[Any] | str = ray.get(reference)
        return answer
    except ray.exceptions.RayError as error:
        return why_lost(error)
