"""A fleet of one to two workers, on nodes of one CPU each that come and go."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from typer.testing import CliRunner

import cluster.fleet
from cluster.cli.main import app
from cluster.coordinator import FleetState
from cluster.session import DEFAULTS
from training.learning.fit_job import FitReceipt
from training.learning.generation import plan_fits
from training.learning.recipes import recipe
from training.models.backbones import Backbone
from training.store.store import Store

pytestmark = pytest.mark.slow

Draw = Callable[..., Path]
run = CliRunner()
SHARDS = [f"cam{number:02d}" for number in range(60)]
HOW: dict[str, Any] = {
    "recipe": replace(recipe("smoke"), name="long", steps=25),
    "backbone": Backbone(name="shufflenet_v2_x0_5", weights="none"),
    "seed": 0,
}


@pytest.fixture
def head() -> Iterator[Cluster]:
    """The first node, which this process is connected to."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("ray").setLevel(logging.ERROR)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        ray.init(address=nodes.address, log_to_driver=False)
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def test_a_node_that_comes_gets_work_and_one_that_goes_is_not_waited_for(
    head: Cluster, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.fleet, "_RESIZE_EVERY_S", 1.0)
    for number, name in enumerate(SHARDS):
        draw(tmp_path / "data", name, seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    store = Store.open(str(tmp_path / "store"))
    coordinators: list[Any] = []
    start = cluster.fleet.start_keeper
    monkeypatch.setattr(cluster.fleet, "start_keeper", lambda *a, **o: coordinators.append(start(*a, **o)) or coordinators[0])
    receipts: list[FitReceipt] = []
    jobs = plan_fits(store, None, None, **HOW).jobs
    fleet = {"num_workers": 2, "min_workers": 1}
    fit = threading.Thread(target=lambda: receipts.extend(cluster.fleet.fit_fleet(store.url, jobs, **HOW, **fleet)))
    fit.start()

    def state_with(fact: Callable[[FleetState], bool]) -> FleetState:
        while fit.is_alive():
            if coordinators and fact(state := ray.get(coordinators[0].state.remote())):
                return state
            time.sleep(0.1)
        pytest.fail("the fit was over before that was seen")

    alone = state_with(lambda state: state.finished > 0)
    assert set(alone.workers) == {"worker-0"}
    second = head.add_node(num_cpus=1)
    both = state_with(lambda state: len(state.workers) == len(state.leased) == 2 and state.finished > alone.finished)
    cards = {card: card.stat().st_mtime_ns for card in tmp_path.glob("store/models/*/*/gen-*/card.json")}
    head.remove_node(second, allow_graceful=False)
    last = state_with(lambda state: set(state.workers) == {"worker-0"} and state.workers["worker-0"] not in both.workers.values())
    assert last.finished < len(SHARDS), "it was killed too late to tell"
    fit.join()

    assert [receipt.error for receipt in receipts] == [None] * len(SHARDS)
    assert {card.shard_id: card.generation for card in store.registry.live_cards()} == dict.fromkeys(SHARDS, 1)
    assert {card: card.stat().st_mtime_ns for card in cards} == cards
    assert len(list(tmp_path.glob("store/models/*/*/gen-*/card.json"))) == len(SHARDS)
