"""Ray Train as a fleet uses it: workers that are independent of one another, in a fixed or an elastic number.

This module is all of ours that Train's controller imports; what and how to fit is read by the workers alone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import ray
from ray import PlacementGroupID
from ray.train import UserCallback
from ray.train.backend import Backend
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

__all__ = ["FleetTorchConfig", "FleetTrainer", "TellsWhoDied", "worker_name"]


class FixedFleet(Backend):
    """No process group; each worker is a replica group of its own and is replaced alone."""

    share_cuda_visible_devices = False
    has_replica_groups = True


class ElasticFleet(Backend):
    """No process group either; the whole group starts again when a worker dies or their number changes.

    A replica group would wait in its place for as large a node as the one that died.
    """

    share_cuda_visible_devices = False


@dataclass
class FleetTorchConfig(TorchConfig):
    """TorchConfig without the process group (it still sets the CUDA device of a worker)."""

    elastic: bool = False

    @property
    def backend_cls(self) -> type[Backend]:
        return ElasticFleet if self.elastic else FixedFleet


class TellsWhoDied(UserCallback):
    """Tells the coordinator which workers died by themselves: all others of a group that starts again are innocent."""

    def __init__(self, coordinator: Any) -> None:
        self._coordinator = coordinator

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        ray.get(self._coordinator.died.remote([worker_name(rank) for rank in worker_exceptions]))


class FreesLeftovers(WorkerGroupCallback):
    """Gives back, before a group of workers starts, what one whose start failed still holds: on a full cluster the new one
    would wait for ever.

    others: placement groups of the job that are not the trainer's.
    """

    def __init__(self, others: Collection[str]) -> None:
        self._others = set(others)

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        _remove(_placement_groups() - self._others)


class FleetTrainer(TorchTrainer):
    """TorchTrainer that leaves Ctrl-C to its caller, and can be stopped.

    Ray's own handler would end the process with exit code 0. A controller whose worker's node died waits for as large a
    node to come back, and hears nothing meanwhile, even when the others have done all the work. What a group holds whose
    start failed is given back by nobody before the job ends, unless the cluster has a dashboard.
    """

    _controller: Any = None

    def fit(self) -> Any:
        """As TorchTrainer.fit; where it raises an Exception, all that its workers held is free again."""
        others = _placement_groups()
        callbacks: list[Any] = [*(self.run_config.callbacks or ()), FreesLeftovers(others)]
        self.run_config.callbacks = callbacks
        try:
            return super().fit()
        except Exception:
            self.stop()
            _remove(_placement_groups() - others)
            raise

    def stop(self) -> None:
        """Let fit() raise; the workers end with their controller."""
        if self._controller is not None:
            ray.kill(self._controller)

    def _register_sigint_handler(self, controller: Any) -> None:
        self._controller = controller


def _placement_groups() -> set[str]:
    """Those of this job that hold or want resources; the id of a job is the end of theirs."""
    job = ray.get_runtime_context().get_job_id()
    table = placement_group_table()
    return {name for name, group in table.items() if name.endswith(job) and group["state"] != "REMOVED"}


def _remove(groups: Collection[str]) -> None:
    for group in groups:
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group))))


def worker_name(rank: int) -> str:
    """What the coordinator calls the worker of a rank; a process that replaces another one has its name."""
    return f"worker-{rank}"
