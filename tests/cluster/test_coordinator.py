"""The process that knows who fits what is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from training.store.store import Store

Draw = Callable[..., Path]
run = CliRunner()
SHARDS = [f"cam{number}" for number in range(8)]
WORKERS = 2


def cards(store: Path) -> dict[str, int]:
    """Published shards, and when each card was written."""
    return {card.parts[-4]: card.stat().st_mtime_ns for card in store.glob("models/*/*/gen-*/card.json")}


@pytest.mark.slow
def test_a_killed_coordinator_starts_again_and_what_is_published_is_not_fitted_again(
    tmp_path: Path, draw: Draw, processes_below: Callable[[int, str], list[int]]
) -> None:
    store = tmp_path / "store"
    for number, name in enumerate(SHARDS):
        draw(tmp_path / "data", name, seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(store)]).exit_code == 0
    words = ["fit", "--store", str(store), "--recipe", "smoke", "--weights", "none", "--workers", str(WORKERS)]
    driver = subprocess.Popen([sys.executable, "-m", "cluster", *words, "--json", str(tmp_path / "fit.json")])
    while len(cards(store)) < WORKERS + 1 and driver.poll() is None:
        time.sleep(0.05)
    (coordinator,) = processes_below(driver.pid, "ray::Coordinator")
    os.kill(coordinator, signal.SIGKILL)
    finished = cards(store)
    assert len(finished) < len(SHARDS), "it was killed too late to tell"
    assert driver.wait(timeout=600) == 0

    document = json.loads((tmp_path / "fit.json").read_text())
    assert [(one["shard_id"], one["generation"]) for one in document["shards"]] == [(name, 1) for name in SHARDS]
    found = {one["shard_id"] for one in document["shards"] if one["seconds"] == 0}
    assert len(found & set(finished)) >= len(finished) - WORKERS, "more was fitted again than workers had in their hands"
    after = cards(store)
    assert {name: after[name] for name in finished} == finished
    assert len(list(Store.open(str(store)).registry.live_cards())) == len(SHARDS)
