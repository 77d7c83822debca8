import pytest

from cluster.resources import WorkerShape, plan_workers


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


def test_a_worker_process_is_told_its_threads_before_torch_starts() -> None:
    assert WorkerShape(num_workers=2, cpus=3, gpus=0).thread_env["OMP_NUM_THREADS"] == "3"
