"""Describe the domains of shards, so that the service finds the micro-model of a picture: here a few, many in tasks of Ray."""

from collections.abc import Sequence
from typing import Any

import ray

from cluster.lost import why_lost
from cluster.progress import Progress
from cluster.resources import WorkerShape, cluster_workers
from cluster.session import ray_session
from training.domain.describe import describe_each, undescribed
from training.errors import MicroModelError, named
from training.models.backbones import Backbone
from training.models.device import compute_with, one_thread
from training.models.eye import Eye
from training.store.store import Store

__all__ = ["describe_fleet"]

FEW = 4  # shards that are described before processes of tasks would have started
SHARDS_A_TASK = 8  # at most; every core gets its share of few shards
ONE_CORE = WorkerShape(num_workers=1, cpus=1, gpus=0.0)  # tasks fill the cores; their threads would wait for each other


def describe_fleet(
    store_url: str, shard_ids: Sequence[str], backbone: Backbone, *, num_workers: int | None = None
) -> dict[str, str]:
    """Describe these shards and keep it in the store; says of which ones that failed, and why.

    More than FEW on the Ray that is there, or one of its own; what is described stays when this is interrupted.

    Raises:
        HostUnavailable: Ray does not start.
    """
    if len(shard_ids) <= FEW:
        return _described_here(store_url, shard_ids, backbone)
    with ray_session(num_cpus=num_workers), Progress("fit: domains", len(shard_ids)) as progress:
        return _described(store_url, shard_ids, backbone, num_workers or cluster_workers(), progress)


def _described_here(store_url: str, shard_ids: Sequence[str], backbone: Backbone) -> dict[str, str]:
    store, eye, failures = Store.open(store_url), Eye(backbone), dict[str, str]()
    with one_thread(), Progress("fit: domains", len(shard_ids)) as progress:
        for number, shard_id in enumerate(shard_ids, 1):
            failures |= _failure(store, eye, shard_id)
            progress.update(number)
    return failures


def _described(
    store_url: str, shard_ids: Sequence[str], backbone: Backbone, num_workers: int, progress: Progress
) -> dict[str, str]:
    size = max(1, min(SHARDS_A_TASK, -(-len(shard_ids) // num_workers)))
    groups = [list(shard_ids[start : start + size]) for start in range(0, len(shard_ids), size)]
    task = ray.remote(num_cpus=1, runtime_env={"env_vars": ONE_CORE.thread_env})(_describe)
    asked = {task.remote(store_url, group, backbone): group for group in groups}
    failures: dict[str, str] = {}
    waiting, num_done = list(asked), 0
    while waiting:
        (ready, *_), waiting = ray.wait(waiting)
        failures |= _answer(ready, asked[ready])
        num_done += len(asked[ready])
        progress.update(num_done)
    return dict(sorted(failures.items()))


def _describe(store_url: str, shard_ids: list[str], backbone: Backbone) -> dict[str, str]:
    """Why which of them could not be described."""
    compute_with(ONE_CORE.cpus)
    store, eye = Store.open(store_url), Eye(backbone)
    try:
        missing = undescribed(store, eye, shard_ids)  # again: a task that died may have described some
    except MicroModelError as error:
        return dict.fromkeys(shard_ids, named(error))
    failures: dict[str, str] = {}
    for shard_id in missing:
        failures |= _failure(store, eye, shard_id)
    return failures


def _failure(store: Store, eye: Eye, shard_id: str) -> dict[str, str]:
    """Describes the shard; nothing, or why it could not."""
    try:
        (said,) = describe_each(store, eye, [shard_id])
    except MicroModelError as error:
        return {shard_id: named(error)}
    return {shard_id: named(said)} if isinstance(said, MicroModelError) else {}


def _answer(reference: Any, shard_ids: Sequence[str]) -> dict[str, str]:
    """What a task says; one whose process died in every attempt failed for all of its shards."""
    try:
        failures: dict[str, str] = ray.get(reference)
        return failures
    except ray.exceptions.RayError as error:
        return dict.fromkeys(shard_ids, why_lost(error))
