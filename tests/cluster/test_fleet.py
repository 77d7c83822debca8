"""Fitting on a real Ray: what happens to shards and workers when something goes wrong."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from typer.testing import CliRunner

import cluster.fleet
from cluster.cli.main import app
from cluster.fleet import fit_fleet
from cluster.trainer import FixedFleet, FleetTorchConfig
from training.learning.fit_job import FitReceipt
from training.learning.generation import plan_fits
from training.learning.recipes import Recipe, recipe
from training.models.backbones import Backbone
from training.store.store import Store

Draw = Callable[..., Path]
HOW: dict[str, Any] = {"recipe": recipe("smoke"), "backbone": Backbone(weights="none"), "seed": 0}
run = CliRunner()


def made(tmp_path: Path, draw: Draw, num_shards: int) -> Store:
    for number in range(num_shards):
        draw(tmp_path / "data", f"cam{number}", seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    return Store.open(str(tmp_path / "store"))


class RunningFleet:
    """A fit in a thread, and a look at its coordinator while it runs."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any] = HOW) -> None:
        self._coordinator: Any = None
        start = cluster.fleet.start_keeper

        def remember(*args: Any, **options: Any) -> Any:
            self._coordinator = start(*args, **options)
            return self._coordinator

        monkeypatch.setattr(cluster.fleet, "start_keeper", remember)
        self.receipts: list[FitReceipt] = []
        jobs = plan_fits(store, None, None, **how).jobs
        self.thread = threading.Thread(target=lambda: self.receipts.extend(fit_fleet(store.url, jobs, **how, num_workers=2)))
        self.thread.start()

    def watch(self, look: Callable[[Any], bool]) -> None:
        """Call `look` with the coordinator's state until it returns True or the fleet is done."""
        while self.thread.is_alive():
            if self._coordinator is not None and look(ray.get(self._coordinator.state.remote())):
                return
            time.sleep(0.05)


@pytest.mark.usefixtures("two_cpus")
def test_a_bad_shard_is_a_failure_and_the_others_are_published_and_live(tmp_path: Path, draw: Draw) -> None:
    store = made(tmp_path, draw, 3)
    (tmp_path / "data" / "cam1.mp4").write_bytes(b"gone bad since it was added")
    words = ["fit", "--store", store.url, "--recipe", "smoke", "--weights", "none", "--workers", "2"]
    result = run.invoke(app, [*words, "--json", str(tmp_path / "fit.json")])
    assert result.exit_code == 3, result.output
    assert "fit: shards 3/3, 1 failed" in result.stderr, result.output
    document = json.loads((tmp_path / "fit.json").read_text())
    assert [(one["shard_id"], one["generation"]) for one in document["shards"]] == [("cam0", 1), ("cam2", 1)]
    (row,) = document["failures"]
    assert row["shard_id"] == "cam1"
    assert "cam1.mp4" in row["error"]
    assert {card.shard_id for card in store.registry.live_cards()} == {"cam0", "cam2"}


@pytest.mark.usefixtures("two_cpus")
def test_a_killed_worker_is_replaced_alone_and_loses_no_shard(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(tmp_path, draw, 5)
    fleet = RunningFleet(store, monkeypatch)
    killed: list[tuple[str, int]] = []
    seen: dict[str, set[int]] = {}

    def kill_one(state: Any) -> bool:
        for worker, pid in state.workers.items():
            seen.setdefault(worker, set()).add(pid)
        if state.finished and state.leased and not killed:
            worker = next(iter(state.leased))
            killed.append((worker, state.workers[worker]))
            os.kill(state.workers[worker], signal.SIGKILL)
        return False

    fleet.watch(kill_one)
    assert killed, "the fleet was done before a worker could be killed"
    assert [receipt.error for receipt in fleet.receipts] == [None] * 5
    assert {card.shard_id: card.generation for card in store.registry.live_cards()} == {f"cam{n}": 1 for n in range(5)}
    (survivor,) = {"worker-0", "worker-1"} - {killed[0][0]}
    assert len(seen[survivor]) == 1, "a worker that was not killed was restarted too"


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_a_worker_that_dies_between_its_start_and_its_loop_costs_nothing(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = tmp_path / "died"

    class DiesAtTheStart(FixedFleet):
        def on_training_start(self, worker_group: Any, backend_config: Any) -> None:
            if not died.exists():
                died.write_text(str(pid := worker_group.execute_single(0, os.getpid)))
                os.kill(pid, signal.SIGKILL)

    class Config(FleetTorchConfig):
        backend_cls = DiesAtTheStart

    monkeypatch.setattr(cluster.fleet, "FleetTorchConfig", Config)
    store = made(tmp_path, draw, 2)
    receipts = fit_fleet(store.url, plan_fits(store, None, None, **HOW).jobs, **HOW, num_workers=2)
    assert died.exists()
    assert [(receipt.error, receipt.generation) for receipt in receipts] == [(None, 1), (None, 1)]


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_a_shard_that_kills_its_worker_three_times_is_quarantined(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = made(tmp_path, draw, 3)
    long = Recipe(**{**recipe("smoke").to_json(), "name": "long", "steps": 60})
    fleet = RunningFleet(store, monkeypatch, {**HOW, "recipe": long})
    killed: set[int] = set()

    def kill_whoever_has_cam1(state: Any) -> bool:
        for worker, shards in state.leased.items():
            if shards == ["cam1"] and state.workers[worker] not in killed:
                killed.add(state.workers[worker])
                os.kill(state.workers[worker], signal.SIGKILL)
        return False

    fleet.watch(kill_whoever_has_cam1)
    errors = {receipt.shard_id: receipt.error for receipt in fleet.receipts}
    assert errors == {
        "cam0": None,
        "cam2": None,
        "cam1": "quarantined: its worker process died, hung or fell silent in each of 3 attempts",
    }
    assert len(killed) == 3
    assert {card.shard_id for card in store.registry.live_cards()} == {"cam0", "cam2"}


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_a_shard_that_its_store_never_answers_about_is_given_up_and_the_others_are_fitted(tmp_path: Path, draw: Draw) -> None:
    store = made(tmp_path, draw, 3)
    jobs = plan_fits(store, None, None, **HOW).jobs
    shard = tmp_path / "store" / "shards" / "cam1.json"
    shard.unlink()
    os.mkfifo(shard)  # to open it waits for somebody who writes, and nobody will
    receipts = fit_fleet(store.url, jobs, **HOW, num_workers=2, still_s=8.0)
    assert {receipt.shard_id: receipt.error for receipt in receipts} == {
        "cam0": None,
        "cam2": None,
        "cam1": "quarantined: its worker process died, hung or fell silent in each of 3 attempts",
    }
    assert {card.shard_id for card in store.registry.live_cards()} == {"cam0", "cam2"}
