from types import SimpleNamespace

import pytest
import ray

from cluster import resources
from cluster.resources import WorkerShape, cluster_workers, node_selectors, plan_workers


@pytest.mark.parametrize(
    ("workers", "units", "nodes", "expected"),
    [
        (2, 10, [{"CPU": 2.0}], (2, 1, 0.0)),
        (2, 1, [{"CPU": 2.0}], (1, 2, 0.0)),
        (1, 1, [{"CPU": 64.0}], (1, 4, 0.0)),
        (2, 9, [{"CPU": 3.0}, {"CPU": 1.0}], (2, 1, 0.0)),
        (3, 9, [{}], (3, 1, 0.0)),
        (4, 9, [{"CPU": 16.0, "GPU": 4.0}], (4, 3, 1.0)),
        (4, 9, [{"CPU": 16.0, "GPU": 1.0}], (4, 3, 0.25)),
        (1, 9, [{"CPU": 64.0, "GPU": 1.0}], (1, 8, 1.0)),
        (3, 9, [{"CPU": 16.0, "GPU": 1.0}, {"CPU": 7.0, "GPU": 2.0}, {"CPU": 96.0}], (3, 3, 1.0)),
        (2, 9, [{"CPU": 1.0, "GPU": 1.0}], (2, 1, 0.5)),
        (9, 99, [{"CPU": 1.0}, {"CPU": 8.0}], (9, 1, 0.0)),
        (4, 99, [{"CPU": 1.0}, {"CPU": 8.0}], (4, 2, 0.0)),
        (2, 99, [{"CPU": 1.0}, {"CPU": 8.0}], (2, 4, 0.0)),
        (1, 9, [{"CPU": 64.0}, {"CPU": 8.0, "GPU": 1.0}], (1, 7, 1.0)),
        (3, 9, [{"CPU": 64.0}, {"CPU": 8.0, "GPU": 1.0}], (3, 2, 1 / 3)),
        (4, 9, [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 2.0}], (4, 3, 0.5)),
        (6, 9, [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 2.0}], (6, 1, 0.25)),  # the second node has cores for two only
        (6, 9, [{"CPU": 2.0, "GPU": 2.0}], (6, 1, 1 / 3)),  # no share is small enough: nodes are missing
    ],
)
def test_every_worker_gets_whole_threads_that_a_node_really_has(
    workers: int, units: int, nodes: list[dict[str, float]], expected: tuple[int, int, float]
) -> None:
    num_workers, cpus, gpus = expected
    assert plan_workers(workers, units, nodes) == WorkerShape(num_workers=num_workers, cpus=cpus, gpus=gpus)


def test_the_threads_beside_a_gpu_decode_and_without_one_a_single_thread_does() -> None:
    assert WorkerShape(num_workers=1, cpus=6, gpus=1.0).decoders == 6
    assert WorkerShape(num_workers=1, cpus=4, gpus=0.0).decoders == 1


@pytest.mark.parametrize(("workers", "gpus"), [(1, 1.0), (2, 0.5), (3, 0.25), (5, 0.125)])
def test_workers_of_an_elastic_fleet_get_shares_of_a_gpu_that_add_up_exactly(workers: int, gpus: float) -> None:
    shape = plan_workers(workers, 99, [{"CPU": 16.0, "GPU": 1.0}], elastic=True)
    assert (shape.num_workers, shape.gpus) == (workers, gpus)
    assert 1.0 // shape.gpus >= workers


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([{"CPU": 1.0}, {"CPU": 8.0}], 9),
        ([{"CPU": 64.0}, {"CPU": 8.0, "GPU": 2.0}], 2),
        ([{"CPU": 2.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 1.0}], 3),  # a worker needs a core beside its GPU
        ([{}], 1),
    ],
)
def test_as_many_workers_fill_a_cluster_as_find_a_place_on_its_nodes(nodes: list[dict[str, float]], expected: int) -> None:
    assert cluster_workers(nodes) == expected


def test_the_places_of_a_full_cluster_are_on_the_nodes_that_are_there_or_on_one_that_comes() -> None:
    nodes = {"a": {"CPU": 2.0}, "b": {"CPU": 1.0}, "c": {}}
    selectors = node_selectors(WorkerShape(num_workers=3, cpus=1, gpus=0.0), nodes)
    assert selectors == [{"ray.io/node-id": who} for who in ("!in(b,c)", "!in(b,c)", "!in(a,c)")]
    halves = WorkerShape(num_workers=4, cpus=2, gpus=0.5)
    selectors = node_selectors(halves, {"a": {"CPU": 9.0, "GPU": 1.0}, "b": {"CPU": 4.0, "GPU": 2.0}})
    assert selectors == [{"ray.io/node-id": who} for who in ("!in(b)", "!in(b)", "!in(a)", "!in(a)")]


@pytest.mark.parametrize(
    ("workers", "nodes"),
    [
        (2, {"a": {"CPU": 2.0}, "b": {"CPU": 1.0}}),  # there is room for what is lost
        (4, {"a": {"CPU": 2.0}, "b": {"CPU": 1.0}}),  # a node is on its way
        (2, {"a": {"CPU": 2.0}}),
        (65, {str(number): {"CPU": 1.0} for number in range(65)}),
    ],
)
def test_elsewhere_a_place_may_be_on_any_node(workers: int, nodes: dict[str, dict[str, float]]) -> None:
    assert node_selectors(WorkerShape(num_workers=workers, cpus=1, gpus=0.0), nodes) is None


def test_on_the_connected_cluster_places_are_bound_where_they_are_free_now(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"NodeID": name, "Alive": True, "Resources": {"CPU": 1.0}} for name in ("a", "b")]
    free = {"a": {"CPU": 1.0}, "b": {"CPU": 1.0}}
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_job_id=lambda: "another job of this test"))
    monkeypatch.setattr(resources, "available_resources_per_node", lambda: free)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    shape = WorkerShape(num_workers=2, cpus=1, gpus=0.0)
    assert node_selectors(shape) == [{"ray.io/node-id": "!in(b)"}, {"ray.io/node-id": "!in(a)"}]
    free["b"] = {"CPU": 0.0}
    assert node_selectors(shape) is None


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
