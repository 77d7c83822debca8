from types import SimpleNamespace

import pytest
import ray

from cluster import resources
from cluster.resources import WorkerShape, cluster_workers, plan_workers


@pytest.mark.parametrize(
    ("workers", "units", "nodes", "expected"),
    [
        (2, 10, [{"CPU": 2.0}], (2, 1, 0.0)),
        (2, 1, [{"CPU": 2.0}], (1, 2, 0.0)),
        (1, 1, [{"CPU": 64.0}], (1, 4, 0.0)),
        (2, 9, [{"CPU": 3.0}, {"CPU": 1.0}], (2, 1, 0.0)),
        (3, 9, [{}], (3, 1, 0.0)),
        (4, 9, [{"CPU": 16.0, "GPU": 4.0}], (4, 1, 1.0)),
        (4, 9, [{"CPU": 16.0, "GPU": 1.0}], (4, 1, 0.25)),
    ],
)
def test_every_worker_gets_whole_threads_that_a_node_really_has(
    workers: int, units: int, nodes: list[dict[str, float]], expected: tuple[int, int, float]
) -> None:
    num_workers, cpus, gpus = expected
    assert plan_workers(workers, units, nodes) == WorkerShape(num_workers=num_workers, cpus=cpus, gpus=gpus)


def test_a_worker_process_is_told_its_threads_before_torch_starts() -> None:
    assert WorkerShape(num_workers=2, cpus=3, gpus=0).thread_env["OMP_NUM_THREADS"] == "3"


def test_of_a_joined_cluster_only_what_nobody_held_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service on the same cluster keeps its CPUs for ever: a verb that wanted them would wait as long."""
    nodes = [{"NodeID": name, "Alive": True, "Resources": {"CPU": 4.0}} for name in ("a", "b")]
    free = {"a": {"CPU": 2.9}}  # nothing of b is free
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_job_id=lambda: "a job of this test"))
    monkeypatch.setattr(resources, "available_resources_per_node", lambda: free)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert (cluster_workers(), plan_workers(1, 9).cpus) == (8, 4)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert (cluster_workers(), plan_workers(1, 9).cpus) == (2, 2)
    free["a"] = {"CPU": 0.0}  # the verb's own workers
    assert (cluster_workers(), plan_workers(2, 9).cpus) == (2, 1)
