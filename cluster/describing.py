"""Describe the domains of many shards, so that the service finds the micro-model of a picture: one Ray task for some shards."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import ray
import torch

from cluster.progress import Progress
from cluster.resources import plan_workers
from training.domain.describe import describe_missing
from training.errors import MicroModelError, named
from training.models.backbones import Backbone
from training.models.eye import Eye
from training.store.store import Store

__all__ = ["Described", "describe_fleet", "undescribed"]

SHARDS_A_TASK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """eye: identity of the network that looked. written: shards described now. failures: of the others, why not."""

    eye: str
    written: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def undescribed(store: Store, shard_ids: Collection[str], eye: Eye) -> list[str]:
    """Those of these shards that nobody has described for this network; one listing."""
    return sorted(set(shard_ids) - set(store.descriptors.shard_ids(eye.identity)))


def describe_fleet(
    store_url: str, shard_ids: Sequence[str], backbone: Backbone, *, eye: Eye, num_workers: int, progress: Progress | None = None
) -> Described:
    """Describe these shards and keep it in the store. Needs a running Ray.

    What cannot be described is a failure that names why, and stops nobody; what is there when this is interrupted stays.
    """
    shape = plan_workers(num_workers, len(shard_ids))
    options = {"num_cpus": shape.cpus, "runtime_env": {"env_vars": shape.thread_env}}
    task = ray.remote(**options)(_describe)
    groups = [list(shard_ids[start : start + SHARDS_A_TASK]) for start in range(0, len(shard_ids), SHARDS_A_TASK)]
    asked = {task.remote(store_url, group, backbone, shape.cpus): group for group in groups}
    failures: dict[str, str] = {}
    waiting, done = list(asked), 0
    while waiting:
        (ready, *_), waiting = ray.wait(waiting)
        failures.update(_failures(ready, asked[ready]))
        done += len(asked[ready])
        if progress is not None:
            progress.update(done)
    return Described(eye=eye.identity, written=len(shard_ids) - len(failures), failures=dict(sorted(failures.items())))


def _describe(store_url: str, shard_ids: list[str], backbone: Backbone, cpus: int) -> dict[str, str]:
    """Why which of them could not be described."""
    torch.set_num_threads(cpus)
    failures: dict[str, str] = {}
    store, eye = Store.open(store_url), Eye(backbone)
    for shard_id in shard_ids:
        try:
            for one in describe_missing(store, eye, [shard_id]):
                if isinstance(one, MicroModelError):
                    failures[shard_id] = named(one)
        except MicroModelError as error:
            failures[shard_id] = named(error)
    return failures


def _failures(reference: object, shard_ids: Sequence[str]) -> dict[str, str]:
    """A task that ended otherwise failed for all of its shards."""
    try:
        failures: dict[str, str] = ray.get(reference)
        return failures
    except ray.exceptions.RayError as error:
        return dict.fromkeys(shard_ids, f"{type(error).__name__}: {str(error).splitlines()[0]}")
