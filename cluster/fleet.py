"""Fit many shards: one TorchTrainer whose workers claim jobs from a coordinator and publish each model when it is done.

The fits are independent, so there is no process group and no `report()` (a barrier that would stall or hang them);
the backend's replica groups make Ray Train replace a dead worker alone, while the others go on.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.backend import Backend
from ray.train.torch import TorchConfig, TorchTrainer

from cluster.actors import start_keeper
from cluster.coordinator import MAX_ATTEMPTS, Coordinator
from cluster.progress import Progress
from cluster.resources import WorkerShape, plan_workers
from cluster.watching import watched
from training.errors import named
from training.learning.generation import FitJob, FitReceipt, fit_jobs
from training.learning.groups import fits_at_once
from training.learning.recipes import Recipe
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.models.device import best_device
from training.store.store import Store

__all__ = ["FleetBackend", "FleetTorchConfig", "LeaseSize", "bundle_size", "fit_fleet"]

_HEARTBEAT_S = 10.0
_POLL_S = 0.5
_LEASE_S = 0.5  # of work at least, where fits are so small that asking for each would cost as much
_MOST_SMALL_FITS = 32  # in a lease


class FleetBackend(Backend):
    """No process group; each worker is a replica group of its own and is replaced alone."""

    share_cuda_visible_devices = False
    has_replica_groups = True


class FleetTorchConfig(TorchConfig):
    """TorchConfig without the process group (it still sets the CUDA device of a worker)."""

    @property
    def backend_cls(self) -> type[Backend]:
        return FleetBackend


def fit_fleet(
    store_url: str,
    jobs: Sequence[FitJob],
    *,
    recipe: Recipe,
    backbone: Backbone,
    seed: int,
    num_workers: int,
    progress: Progress | None = None,
) -> list[FitReceipt]:
    """Fit `jobs` on the connected cluster and return one receipt for each, in their order.

    A shard that fails, or whose worker died three times, is a receipt with an error and stops nobody. Every model is
    in the store the moment its receipt exists, so after a crash or Ctrl-C the same call fits only what is missing.
    """
    if not jobs:
        return []
    coordinator = start_keeper(Coordinator, list(jobs), max_attempts=MAX_ATTEMPTS)
    shape = plan_workers(num_workers, len(jobs))
    what = {"store": store_url, "recipe": recipe, "backbone": backbone, "seed": seed, "cpus": shape.cpus}
    what["bundle_size"] = bundle_size(shape, len(jobs))
    what["most"] = min(_MOST_SMALL_FITS, len(jobs) // (2 * shape.num_workers))
    with tempfile.TemporaryDirectory(prefix="micromodels-train-") as scratch:
        trainer = _trainer({"coordinator": coordinator, **what}, shape, scratch, max_failures=MAX_ATTEMPTS * (len(jobs) + 1))
        broken = _run(trainer, coordinator, progress)
    receipts = {(r.shard_id, r.ontology): r for r in ray.get(coordinator.receipts.remote())}
    return [receipts.get((job.shard_id, job.ontology)) or _not_fitted(job, broken) for job in jobs]


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


def _trainer(config: dict[str, Any], shape: WorkerShape, scratch: str, max_failures: int) -> "_Trainer":
    resources = {"CPU": shape.cpus, **({"GPU": shape.gpus} if shape.gpus else {})}
    return _Trainer(
        fit_loop,
        train_loop_config=config,
        torch_config=FleetTorchConfig(),
        scaling_config=ScalingConfig(num_workers=shape.num_workers, use_gpu=bool(shape.gpus), resources_per_worker=resources),
        run_config=RunConfig(  # type: ignore[call-arg]  # the checker sees the class of Train V1
            name="fit",
            storage_path=scratch,  # Train wants one; models go to the store
            failure_config=FailureConfig(max_failures=max_failures),
            worker_runtime_env={"env_vars": shape.thread_env},
        ),
    )


class _Trainer(TorchTrainer):
    """TorchTrainer that leaves Ctrl-C to its caller, and can be stopped.

    Ray's own handler would end the process with exit code 0. A controller whose worker's node died waits for as large a
    node to come back, and hears nothing meanwhile, even when the others have done all the work.
    """

    _controller: Any = None

    def stop(self) -> None:
        """Let fit() raise; the workers end with their controller."""
        if self._controller is not None:
            ray.kill(self._controller)

    def _register_sigint_handler(self, controller: Any) -> None:
        self._controller = controller


def _run(trainer: _Trainer, coordinator: Any, progress: Progress | None) -> Exception | None:
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
    torch.set_num_threads(config["cpus"])
    coordinator, worker = config["coordinator"], f"worker-{get_context().get_world_rank()}"
    ray.get(coordinator.register.remote(worker, os.getpid()))
    store = Store.open(config["store"])
    lease = LeaseSize(config["bundle_size"], config["most"])
    with _heartbeat(coordinator, worker):
        while (jobs := ray.get(coordinator.claim.remote(worker, lease.jobs))) is not None:
            if jobs:
                began = time.monotonic()
                ray.get(coordinator.commit.remote(worker, _fit(store, jobs, config)))
                lease.learn(len(jobs), time.monotonic() - began)
            else:
                time.sleep(_POLL_S)  # the last leases are out; one may come back


def _fit(store: Store, jobs: Sequence[FitJob], config: dict[str, Any]) -> list[FitReceipt]:
    """One receipt a job of the lease, bundle by bundle."""
    size = config["bundle_size"]
    bundles = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    return [receipt for bundle in bundles for receipt in _fit_bundle(store, bundle, config)]


def _fit_bundle(store: Store, jobs: Sequence[FitJob], config: dict[str, Any]) -> list[FitReceipt]:
    """One receipt a job, whatever happens; what was published meanwhile is not fitted again."""
    try:
        fitted = fit_jobs(store, jobs, recipe=config["recipe"], backbone=config["backbone"], seed=config["seed"])
        return go_live(store, fitted, device=best_device())
    except Exception as error:
        return [_not_fitted(job, error) for job in jobs]


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
