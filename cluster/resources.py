"""How many worker processes a cluster carries, and what each of them gets."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import ray
from ray._private.state import available_resources_per_node

__all__ = ["WorkerShape", "cluster_workers", "plan_workers"]

_MOST_CPUS = 4  # the networks are small: more threads than this only wait for each other


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerShape:
    """num_workers processes of `cpus` threads each; `gpus` is a share of one GPU, 0 without."""

    num_workers: int
    cpus: int
    gpus: float

    @property
    def thread_env(self) -> dict[str, str]:
        """Environment that gives a process exactly its threads; it must be set before torch is imported.

        Without it two processes each start a thread per core and spin against each other: ten times slower.
        """
        return {name: str(self.cpus) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def cluster_workers() -> int:
    """Workers that fill the cluster Ray is connected to: one a GPU, or one a CPU where there is no GPU."""
    nodes = _nodes()
    gpus, cpus = (int(sum(node.get(kind, 0) for node in nodes)) for kind in ("GPU", "CPU"))
    return max(1, gpus or cpus)


def plan_workers(num_workers: int, num_units: int, nodes: Sequence[Mapping[str, float]] | None = None) -> WorkerShape:
    """Shape of at most `num_workers` workers for `num_units` pieces of work.

    Workers share GPUs where there are fewer of them; on CPU, cores that no worker would use are shared out.

    Args:
        nodes: resources of each node; those of the connected cluster by default.
    """
    nodes = _nodes() if nodes is None else nodes
    workers = max(1, min(num_workers, num_units))
    gpus = sum(node.get("GPU", 0) for node in nodes)
    if gpus:
        return WorkerShape(num_workers=workers, cpus=1, gpus=1.0 / -(-workers // int(gpus)))
    fitting = (cpus for cpus in range(_MOST_CPUS, 1, -1) if sum(int(node.get("CPU", 0)) // cpus for node in nodes) >= workers)
    return WorkerShape(num_workers=workers, cpus=next(fitting, 1), gpus=0.0)


def _nodes() -> list[dict[str, float]]:
    """CPUs and GPUs of each node, without those that others held when this process joined the cluster."""
    alive = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
    joined = os.environ.get("RAY_ADDRESS", "local") != "local"
    held = _held(ray.get_runtime_context().get_job_id()) if joined else {}
    return [{kind: has.get(kind, 0) - held.get(node, {}).get(kind, 0) for kind in ("CPU", "GPU")} for node, has in alive.items()]


@cache
def _held(job_id: str) -> dict[str, dict[str, float]]:
    """By node, what is not free when a job asks first: a service keeps its share for ever, so nobody waits for that."""
    free = available_resources_per_node()  # type: ignore[no-untyped-call]
    nodes = ((node["NodeID"], node["Resources"]) for node in ray.nodes() if node["Alive"])  # type: ignore[no-untyped-call]
    return {node: {kind: has.get(kind, 0) - free.get(node, {}).get(kind, 0) for kind in ("CPU", "GPU")} for node, has in nodes}
