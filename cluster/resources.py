"""How many worker processes a cluster carries, and what each of them gets."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import ray
from ray._private.state import available_resources_per_node

__all__ = ["WorkerShape", "cluster_workers", "node_selectors", "num_nodes", "plan_workers"]

Nodes = Sequence[Mapping[str, float]]  # resources of each

_MOST_CPUS = 4  # the networks are small: more threads than this only wait for each other
_MOST_DECODERS = 8  # more threads than this only wait for the interpreter
_MOST_NAMED_NODES = 64  # in a selector, of which there is one a worker


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


def cluster_workers(nodes: Nodes | None = None) -> int:
    """Workers that fill the cluster Ray is connected to: one a GPU, or one a CPU where there is no GPU."""
    nodes = _nodes() if nodes is None else nodes
    return max(1, _places(nodes, per_gpu=1) or _places(nodes, per_gpu=None))


def num_nodes() -> int:
    """Of the cluster that Ray is connected to, those that are alive."""
    return sum(bool(node["Alive"]) for node in ray.nodes())  # type: ignore[no-untyped-call]


def plan_workers(num_workers: int, num_units: int, nodes: Nodes | None = None, *, elastic: bool = False) -> WorkerShape:
    """Shape of at most `num_workers` workers for `num_units` pieces of work.

    Workers share GPUs where there are fewer of them, and each gets its share of the cores beside its GPU; on CPU, cores that
    no worker would use are shared out. Nodes need not be alike: a worker's share is one that each of them finds room for on
    some node, a core beside a GPU included; one core of each node is left for what feeds them, if there is more than one each.

    Args:
        nodes: resources of each node; those of the connected cluster by default.
        elastic: the share of a GPU is 1/2, 1/4, …, which add up exactly as Ray counts how many workers fit.
    """
    nodes = _nodes() if nodes is None else nodes
    workers = max(1, min(num_workers, num_units))
    if gpus := sum(int(node.get("GPU", 0)) for node in nodes):
        enough = (per_gpu for per_gpu in range(1, workers + 1) if _places(nodes, per_gpu) >= workers)
        per_gpu = next(enough, -(-workers // gpus))  # where none is enough, nodes are missing: they may be on their way
        per_gpu = 1 << (per_gpu - 1).bit_length() if elastic else per_gpu
        roomy = (cpus for cpus in range(_MOST_DECODERS, 1, -1) if _places(nodes, per_gpu, cpus, spare=1) >= workers)
        return WorkerShape(num_workers=workers, cpus=next(roomy, 1), gpus=1.0 / per_gpu)
    fitting = (cpus for cpus in range(_MOST_CPUS, 1, -1) if _places(nodes, None, cpus) >= workers)
    return WorkerShape(num_workers=workers, cpus=next(fitting, 1), gpus=0.0)


def node_selectors(shape: WorkerShape, nodes: Mapping[str, Mapping[str, float]] | None = None) -> list[dict[str, str]] | None:
    """Of each worker, the nodes that its place may be on: one of those that are there, or any that comes later.

    A place whose node has died then fits nowhere until another node comes, and Ray leaves it alone until that happens. Without
    this, where it fits but for the workers that fill the other nodes, the GCS of Ray 2.60 looks for room without a pause, and
    takes a core of the head node for that (https://github.com/ray-project/ray/pull/65007).

    Args:
        nodes: resources of each node by its id; those of the connected cluster by default, if all of them are free now.
    Returns:
        None where the workers do not fill the nodes exactly, and where the nodes are one, or too many to name.
    """
    room = _room(shape, _nodes_by_id() if nodes is None else nodes)
    free = room if nodes is not None else _room(shape, available_resources_per_node())  # type: ignore[no-untyped-call]
    if any(free.get(node, 0) != places for node, places in room.items()):
        return None
    if sum(room.values()) != shape.num_workers or not 1 < len(room) <= _MOST_NAMED_NODES:
        return None
    others = {node: ",".join(other for other in room if other != node) for node in room}
    return [{"ray.io/node-id": f"!in({others[node]})"} for node, places in room.items() for _ in range(places)]


def _room(shape: WorkerShape, nodes: Mapping[str, Mapping[str, float]]) -> dict[str, int]:
    """Workers that find a place on each node."""
    per_gpu = round(1 / shape.gpus) if shape.gpus else None
    return {node: _places([has], per_gpu, shape.cpus) for node, has in nodes.items()}


def _places(nodes: Nodes, per_gpu: int | None, cpus: int = 1, spare: int = 0) -> int:
    """Workers of so many cores each that find a place.

    Args:
        per_gpu: so many share a GPU; None where they need none.
        spare: cores of each node that they leave.
    """
    by_cores = [(int(node.get("CPU", 0)) - spare) // cpus for node in nodes]
    if per_gpu is None:
        return sum(by_cores)
    return sum(min(int(node.get("GPU", 0)) * per_gpu, places) for node, places in zip(nodes, by_cores, strict=True))


def _nodes() -> Nodes:
    return list(_nodes_by_id().values())


def _nodes_by_id() -> dict[str, dict[str, float]]:
    """CPUs and GPUs of each node, without those that others held when this process joined the cluster."""
    alive = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
    joined = os.environ.get("RAY_ADDRESS", "local") != "local"
    held = _held(ray.get_runtime_context().get_job_id()) if joined else {}
    return {
        node: {kind: has.get(kind, 0) - held.get(node, {}).get(kind, 0) for kind in ("CPU", "GPU")} for node, has in alive.items()
    }


@cache
def _held(job_id: str) -> dict[str, dict[str, float]]:
    """By node, what is not free when a job asks first: a service keeps its share for ever, so nobody waits for that."""
    free = available_resources_per_node()  # type: ignore[no-untyped-call]
    nodes = ((node["NodeID"], node["Resources"]) for node in ray.nodes() if node["Alive"])  # type: ignore[no-untyped-call]
    return {node: {kind: has.get(kind, 0) - free.get(node, {}).get(kind, 0) for kind in ("CPU", "GPU")} for node, has in nodes}
