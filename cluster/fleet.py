"""Fit many shards: one TorchTrainer whose workers claim jobs from a coordinator and publish each model when it is done.

The fits are independent, so there is no process group and no `report()` (a barrier that would stall or hang them).
In a fleet of a fixed number of workers a dead one is replaced alone, while the others go on; an elastic fleet starts all
its workers again, on the nodes that are there.
"""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig, get_context

from cluster.actors import start_keeper
from cluster.coordinator import MAX_ATTEMPTS, Coordinator
from cluster.progress import Progress
from cluster.resources import WorkerShape, node_selectors, plan_workers
from cluster.trainer import FleetTorchConfig, FleetTrainer, TellsWhoDied, worker_name
from cluster.watchdog import STILL_S, ended_at_a_standstill
from cluster.watching import watched
from training.errors import named
from training.learning.fit_job import FitJob, FitReceipt
from training.learning.generation import fit_jobs
from training.learning.groups import fits_at_once
from training.learning.recipes import Recipe
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.models.device import best_device, compute_with
from training.store.store import Store

__all__ = ["LeaseSize", "bundle_size", "collected", "fit_fleet", "fit_lease", "started_anew"]

_HEARTBEAT_S = 10.0
_POLL_S = 0.5
_RESIZE_EVERY_S = 60.0  # an elastic fleet looks for nodes that came or went
_LEASE_S = 0.5  # of work at least, where fits are so small that asking for each would cost as much
_MOST_SMALL_FITS = 32  # in a lease
_log = logging.getLogger(__name__)


def fit_fleet(
    store_url: str,
    jobs: Sequence[FitJob],
    *,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    num_workers: int,
    min_workers: int | None = None,
    canary: float | None = None,
    still_s: float = STILL_S,
    progress: Progress | None = None,
) -> list[FitReceipt]:
    """Fit `jobs` on the connected cluster and return one receipt for each, in their order.

    A shard that fails, or whose worker died or hung three times, is a receipt with an error and stops nobody. Every model is
    in the store the moment its receipt exists, so after a crash or Ctrl-C the same call fits only what is missing.

    Args:
        min_workers: the fleet is elastic: it begins with as many workers as there is room for, at least these, and
            follows the nodes that come and go, up to num_workers. None waits for room for all of them.
        canary: as of go_live.
        still_s: seconds at a standstill after which a worker hangs: it ends, and is replaced like one that died.
    """
    if not jobs:
        return []
    coordinator = start_keeper(Coordinator, list(jobs), max_attempts=MAX_ATTEMPTS)
    shape = plan_workers(num_workers, len(jobs), elastic=min_workers is not None)
    what = {"store": store_url, "recipe": recipe, "backbone": backbone, "seed": seed, "cpus": shape.cpus, "canary": canary}
    what["still_s"] = still_s
    what["bundle_size"] = bundle_size(shape, len(jobs))
    what["most"] = min(_MOST_SMALL_FITS, len(jobs) // (2 * shape.num_workers))

    most = MAX_ATTEMPTS * (len(jobs) + 1)

    def train() -> Exception | None:
        with tempfile.TemporaryDirectory(prefix="micromodels-train-") as scratch:
            trainer = _trainer(coordinator, what, shape, min_workers, scratch, max_failures=most)
            return _run(trainer, coordinator, progress)

    broken = started_anew(train, finished=lambda: ray.get(coordinator.state.remote()).finished)
    return collected(Store.open(store_url), jobs, ray.get(coordinator.receipts.remote()), broken, canary)


def collected(
    store: Store, jobs: Sequence[FitJob], handed_in: Sequence[FitReceipt], broken: Exception | None, canary: float | None = None
) -> list[FitReceipt]:
    """One receipt a job, in their order; those that a coordinator which began anew does not have come from the store."""
    receipts = {(one.shard_id, one.ontology): one for one in handed_in}
    return [receipts.get((job.shard_id, job.ontology)) or _of_store(store, job, broken, canary) for job in jobs]


def started_anew(train: Callable[[], Exception | None], finished: Callable[[], int]) -> Exception | None:
    """Train, and train again with a new controller where a worker died between its start and its loop.

    Train starts workers again that die before or after, but takes a death in that moment for an error of its controller, and
    ends. Nothing is lost: leases of who is gone come back.

    Args:
        train: runs to its end and returns what broke it, if anything did.
        finished: how many jobs are over; after MAX_ATTEMPTS deaths in which there were no more of them, it is given up.
    Returns:
        What broke the last one.
    """
    before, attempts = finished(), 0
    while True:
        broken = train()
        if not isinstance(broken, ControllerError) or not isinstance(broken.controller_failure, RayActorError):
            return broken
        now = finished()
        attempts = attempts + 1 if now == before else 1
        _log.warning("a worker died while the workers started attempt=%d of=%d", attempts, MAX_ATTEMPTS)
        if attempts == MAX_ATTEMPTS:
            return broken
        before = now


def _of_store(store: Store, job: FitJob, broken: Exception | None, canary: float | None) -> FitReceipt:
    card = store.registry.find(job.shard_id, job.ontology, job.fit_key)
    if card is None:
        return _not_fitted(job, broken)
    (receipt,) = go_live(store, [FitReceipt.of(card)], canary=canary)
    return receipt


def bundle_size(shape: WorkerShape, num_jobs: int) -> int:
    """Jobs fitted together: as many as a worker's device is faster with, but every worker gets its share of few jobs."""
    return max(1, min(fits_at_once("cuda" if shape.gpus else "cpu"), num_jobs // shape.num_workers))


class LeaseSize:
    """Jobs that a worker claims at once: one bundle, or several where bundles take a fraction of a second.

    Args:
        bundle: jobs that are fitted together.
        most: jobs in a lease of several bundles.
    """

    def __init__(self, bundle: int, most: int) -> None:
        self._bundle, self._most = bundle, max(bundle, most)
        self.jobs = bundle

    def learn(self, jobs: int, seconds: float) -> None:
        """So many jobs took so long: the next lease is of about _LEASE_S."""
        bundles = int(_LEASE_S * jobs / max(seconds, 1e-9) / self._bundle)
        self.jobs = min(max(1, bundles) * self._bundle, self._most)


def _trainer(
    coordinator: Any, what: dict[str, Any], shape: WorkerShape, min_workers: int | None, scratch: str, max_failures: int
) -> FleetTrainer:
    resources = {"CPU": shape.cpus, **({"GPU": shape.gpus} if shape.gpus else {})}
    most = shape.num_workers
    return FleetTrainer(
        fit_loop,
        train_loop_config={"coordinator": coordinator, "what": ray.put(what)},  # by reference: the controller never opens it
        torch_config=FleetTorchConfig(elastic=min_workers is not None),
        scaling_config=ScalingConfig(  # type: ignore[call-arg]  # the checker sees the classes of Train V1
            num_workers=most if min_workers is None else (min(min_workers, most), most),  # type: ignore[arg-type]
            elastic_resize_monitor_interval_s=_RESIZE_EVERY_S,
            use_gpu=bool(shape.gpus),
            resources_per_worker=resources,
            label_selector=node_selectors(shape) if min_workers is None else None,
        ),
        run_config=RunConfig(  # type: ignore[call-arg]
            name="fit",
            storage_path=scratch,  # Train wants one; models go to the store
            failure_config=FailureConfig(max_failures=max_failures),
            worker_runtime_env={"env_vars": shape.thread_env},
            callbacks=[TellsWhoDied(coordinator)],  # type: ignore[list-item]
        ),
    )


def _run(trainer: FleetTrainer, coordinator: Any, progress: Progress | None) -> Exception | None:
    """Run to the end and return what broke the trainer, if anything did."""
    try:
        with watched(coordinator, progress, trainer.stop):
            trainer.fit()
    except Exception as error:
        return error
    except BaseException:
        coordinator.close.remote()
        raise
    return None


def fit_loop(config: dict[str, Any]) -> None:
    """What every worker does: claim, fit, publish, hand in the receipts; until nothing is left."""
    context, coordinator, what = get_context(), config["coordinator"], ray.get(config["what"])
    worker, group = worker_name(context.get_world_rank()), [worker_name(rank) for rank in range(context.get_world_size())]
    compute_with(what["cpus"])
    ray.get(coordinator.register.remote(worker, os.getpid(), group))
    store = Store.open(what["store"])
    lease = LeaseSize(what["bundle_size"], what["most"])
    with _heartbeat(coordinator, worker):
        while (jobs := ray.get(coordinator.claim.remote(worker, lease.jobs))) is not None:
            if jobs:
                began = time.monotonic()
                with ended_at_a_standstill(f"a lease of {len(jobs)} from {jobs[0].shard_id} on", what["still_s"]):
                    receipts = fit_lease(store, jobs, what)
                ray.get(coordinator.commit.remote(worker, receipts))
                lease.learn(len(jobs), time.monotonic() - began)
            else:
                time.sleep(_POLL_S)  # the last leases are out; one may come back


def fit_lease(store: Store, jobs: Sequence[FitJob], what: dict[str, Any]) -> list[FitReceipt]:
    """One receipt a job of the lease, bundle by bundle."""
    size = what["bundle_size"]
    bundles = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    return [receipt for bundle in bundles for receipt in _fit_bundle(store, bundle, what)]


def _fit_bundle(store: Store, jobs: Sequence[FitJob], what: dict[str, Any]) -> list[FitReceipt]:
    """One receipt a job, whatever happens; of a bundle that breaks, each job alone, but for what was published meanwhile."""
    try:
        fitted = fit_jobs(store, jobs, recipe=what["recipe"], backbone=what["backbone"], seed=what["seed"])
        return go_live(store, fitted, device=best_device(), canary=what["canary"])
    except Exception as error:
        _log.warning("bundle failed jobs=%d first=%s ontology=%s", len(jobs), jobs[0].shard_id, jobs[0].ontology, exc_info=error)
        if len(jobs) == 1:
            return [_not_fitted(jobs[0], error)]
    # Only here: as long as there is the error, there are the tensors of the bundle that it came from.
    return [receipt for job in jobs for receipt in _fit_bundle(store, [job], what)]


def _not_fitted(job: FitJob, error: Exception | None) -> FitReceipt:
    said = named(error) if error else "NotFitted: the workers ended without fitting it"
    return FitReceipt(shard_id=job.shard_id, ontology=job.ontology, error=said)


@contextmanager
def _heartbeat(coordinator: Any, worker: str) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        while not over.wait(_HEARTBEAT_S):
            coordinator.heartbeat.remote(worker)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        over.set()
