"""A node with two cores and a GPU beside one with a core alone. The GPU is only Ray's word: the fits run on the CPU."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.fleet import fit_fleet
from cluster.resources import cluster_workers
from training.learning.fit_job import FitReceipt
from training.learning.generation import plan_fits
from training.learning.recipes import recipe
from training.models.backbones import Backbone
from training.store.store import Store

pytestmark = pytest.mark.slow

Draw = Callable[..., Path]
run = CliRunner()
HOW: dict[str, Any] = {"recipe": recipe("smoke"), "backbone": Backbone(name="shufflenet_v2_x0_5", weights="none"), "seed": 0}


@pytest.fixture(scope="module")
def nodes(start_head: Callable[..., AbstractContextManager[Cluster]]) -> Iterator[Cluster]:
    with start_head(num_cpus=1) as cluster:
        cluster.add_node(num_cpus=2, num_gpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()


@pytest.mark.parametrize("min_workers", [None, 1])
def test_two_workers_share_the_gpu_of_the_one_node_that_has_one(
    nodes: Cluster, min_workers: int | None, tmp_path: Path, draw: Draw
) -> None:
    for number in range(6):
        draw(tmp_path / "data", f"cam{number}", seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    store = Store.open(str(tmp_path / "store"))
    assert cluster_workers() == 1
    receipts: list[FitReceipt] = []
    jobs = plan_fits(store, None, None, **HOW).jobs
    fleet = {"num_workers": 2, "min_workers": min_workers}
    fit = threading.Thread(target=lambda: receipts.extend(fit_fleet(store.url, jobs, **HOW, **fleet)))
    fit.start()
    free: list[dict[str, float]] = []
    while fit.is_alive():
        free.append(ray.available_resources())
        time.sleep(0.1)
    assert [receipt.error for receipt in receipts] == [None] * 6
    assert any(one.get("GPU", 0) == 0 and one.get("CPU", 0) == 1 for one in free), "the two never had the GPU and its two cores"
