"""How much work a worker of a fleet takes at once."""

import pytest

from cluster.fleet import bundle_size
from cluster.resources import WorkerShape


@pytest.mark.parametrize(
    ("gpus", "num_workers", "num_jobs", "expected"),
    [
        (0.0, 2, 1000, 1),  # a CPU gains nothing by more
        (1.0, 2, 1000, 32),
        (0.5, 2, 1000, 32),
        (1.0, 4, 20, 5),
        (1.0, 4, 3, 1),
    ],
)
def test_a_lease_holds_what_is_fitted_together_but_leaves_every_worker_its_share(
    gpus: float, num_workers: int, num_jobs: int, expected: int
) -> None:
    assert bundle_size(WorkerShape(num_workers=num_workers, cpus=1, gpus=gpus), num_jobs) == expected
