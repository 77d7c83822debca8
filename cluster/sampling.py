"""Choose the first frames to label, over many shards at once: one Ray task a shard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
import torch

from cluster.progress import Progress
from cluster.resources import plan_workers
from training.data.shards import Shard
from training.errors import MicroModelError
from training.loop.sample import representative_frames
from training.models.backbones import Backbone

__all__ = ["FramesToLabel", "choose_first_frames"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesToLabel:
    """The frames of a shard that a person should label first; none of them and an error if it could not be read."""

    frame_indices: tuple[int, ...] = ()
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
    if not shards:
        return []
    shape = plan_workers(num_workers, len(shards))
    task = ray.remote(num_cpus=shape.cpus, runtime_env={"env_vars": shape.thread_env})(_choose)
    pending = [task.remote(shard, list(candidates), count, backbone, shape.cpus) for shard, candidates in shards]
    _wait(pending, progress)
    return [_answer(reference) for reference in pending]


def _choose(shard: Shard, candidates: list[int], count: int, backbone: Backbone, cpus: int) -> FramesToLabel:
    torch.set_num_threads(cpus)
    try:
        return FramesToLabel(frame_indices=tuple(representative_frames(shard, candidates, count, backbone=backbone)))
    except MicroModelError as error:
        return FramesToLabel(error=f"{type(error).__name__}: {error}")


def _wait(pending: Sequence[Any], progress: Progress | None) -> None:
    """Until all are over, saying how many are."""
    waiting = list(pending)
    while waiting:
        _, waiting = ray.wait(waiting)
        if progress is not None:
            progress.update(len(pending) - len(waiting))


def _answer(reference: Any) -> FramesToLabel:
    """A task whose process died in every attempt is an error of its shard."""
    try:
        answer: FramesToLabel = ray.get(reference)
        return answer
    except ray.exceptions.RayError as error:
        return FramesToLabel(error=f"{type(error).__name__}: {str(error).splitlines()[0]}")
