"""How many worker processes a cluster carries, and what each of them gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray

__all__ = ["WorkerShape", "cluster_workers", "plan_workers"]

_MOST_CPUS = 4  # the networks are small: more threads than this only wait for each other
_MOST_DECODERS = 8  # more threads than this only wait for the interpreter


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerShape:
    """num_workers processes of `cpus` threads each; `gpus` is a share of one GPU, 0 without.

    On a GPU the threads feed it: they decode. Without one they compute, and one more decodes when these leave it time.
    """

    num_workers: int
    cpus: int
    gpus: float

    @property
    def decoders(self) -> int:
        """Threads that decode for a worker that labels."""
        return self.cpus if self.gpus else 1

    @property
    def thread_env(self) -> dict[str, str]:
        """Environment that gives a process exactly its threads; it must be set before torch is imported.

        Without it two processes each start a thread per core and spin against each other: ten times slower.
        """
        return {name: str(self.cpus) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def cluster_workers() -> int:
    """Workers that fill the cluster Ray is connected to: one a GPU, or one a CPU where there is no GPU."""
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("GPU", 0)) or int(resources.get("CPU", 0)))


def plan_workers(num_workers: int, num_units: int, nodes: Sequence[Mapping[str, float]] | None = None) -> WorkerShape:
    """Shape of at most `num_workers` workers for `num_units` pieces of work.

    Workers share GPUs where there are fewer of them, and the cores beside these, all but one of a node; on CPU, cores that no
    worker would use are shared out.

    Args:
        nodes: resources of each node; those of the connected cluster by default.
    """
    if nodes is None:
        alive = (node for node in ray.nodes() if node["Alive"])  # type: ignore[no-untyped-call]
        nodes = [node["Resources"] for node in alive]
    workers = max(1, min(num_workers, num_units))
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if gpus:
        sharing = -(-workers // gpus)
        enough = (cpus for cpus in range(_MOST_DECODERS, 1, -1) if _places(nodes, sharing, cpus) >= workers)
        return WorkerShape(num_workers=workers, cpus=next(enough, 1), gpus=1.0 / sharing)
    fitting = (cpus for cpus in range(_MOST_CPUS, 1, -1) if sum(int(node.get("CPU", 0)) // cpus for node in nodes) >= workers)
    return WorkerShape(num_workers=workers, cpus=next(fitting, 1), gpus=0.0)


def _places(nodes: Sequence[Mapping[str, float]], sharing: int, cpus: int) -> int:
    """Workers of so many cores that find a place where so many share a GPU, and a core of each node is left for the rest."""
    return sum(min(int(node.get("GPU", 0)) * sharing, (int(node.get("CPU", 0)) - 1) // cpus) for node in nodes)
