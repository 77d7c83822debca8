"""Is a pre-trained detector any use on each shard? One Ray task a shard runs it on the frames that people labelled."""

from collections.abc import Sequence

import ray
from ray.exceptions import RayError

from cluster.coordinator import MAX_ATTEMPTS
from cluster.lost import why_lost
from cluster.progress import Progress
from cluster.resources import plan_workers
from training.errors import MicroModelError
from training.loop.domain_check import DomainCheck
from training.loop.prelabel import PrelabelJob, Prelabeller
from training.models.device import best_device, compute_with
from training.store.store import Store

__all__ = ["check_fleet"]


def check_fleet(
    store_url: str, jobs: Sequence[PrelabelJob], *, num_workers: int, progress: Progress | None = None
) -> list[DomainCheck | str]:
    """Compare each job's detector with what people said, on the connected cluster; in the order of `jobs`.

    A job that fails, or whose process died three times, is the text of its error and stops nobody.
    """
    if not jobs:
        return []
    shape = plan_workers(num_workers, len(jobs))
    task = ray.remote(_check).options(
        num_cpus=shape.cpus,
        num_gpus=shape.gpus or None,
        runtime_env={"env_vars": shape.thread_env},
        max_retries=MAX_ATTEMPTS - 1,
    )
    results = [task.remote(store_url, job, shape.cpus) for job in jobs]
    waiting = list(results)
    while waiting:
        _, waiting = ray.wait(waiting)
        if progress is not None:
            progress.update(len(jobs) - len(waiting))
    return [_result(result) for result in results]


def _check(store_url: str, job: PrelabelJob, cpus: int) -> DomainCheck | str:
    compute_with(cpus)
    try:
        return Prelabeller(Store.open(store_url), [job], device=best_device()).check(job)
    except MicroModelError as error:
        return f"{type(error).__name__}: {error}"


def _result(reference: "ray.ObjectRef[DomainCheck | str]") -> DomainCheck | str:
    try:
        return ray.get(reference)
    except RayError as error:
        return why_lost(error)
