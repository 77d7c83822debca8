"""The command itself is interrupted or killed, and run again."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from training.learning.generation import plan_fits
from training.learning.recipes import recipe
from training.models.backbones import Backbone
from training.store.store import Store

Draw = Callable[..., Path]
run = CliRunner()
SHARDS = [f"cam{number}" for number in range(6)]


def cards(store: Path) -> dict[str, int]:
    """Published generations, and when each was written."""
    return {str(card.relative_to(store)): card.stat().st_mtime_ns for card in store.glob("models/*/*/gen-*/card.json")}


def stopped(folder: Path, draw: Draw, blow: signal.Signals) -> tuple[Store, list[str], int, str]:
    """A store whose fit got `blow` at its first generation: the store, the words of the verb, its exit code, what it said."""
    for number, name in enumerate(SHARDS):
        draw(folder / "data", name, seed=number)
    url = str(folder / "store")
    assert run.invoke(app, ["add", str(folder / "data"), "--store", url]).exit_code == 0
    words = ["fit", "--store", url, "--recipe", "smoke", "--weights", "none", "--workers", "2"]
    driver = subprocess.Popen([sys.executable, "-m", "cluster", *words], stderr=subprocess.PIPE, text=True)
    while len(cards(folder / "store")) < 1 and driver.poll() is None:
        time.sleep(0.05)
    driver.send_signal(blow)
    _, said = driver.communicate(timeout=120)
    return Store.open(url), words, driver.returncode, said


def test_ctrl_c_ends_a_fit_in_order_and_only_the_rest_is_left_to_fit(tmp_path: Path, draw: Draw) -> None:
    store, _, code, said = stopped(tmp_path, draw, signal.SIGINT)
    assert code == 130, said
    assert "interrupted: everything finished so far is kept" in said
    assert "Traceback" not in said
    finished = {Path(card).parts[1] for card in cards(tmp_path / "store")}
    assert 1 <= len(finished) < len(SHARDS), "it was stopped too late to tell"
    left = plan_fits(store, None, None, recipe=recipe("smoke"), backbone=Backbone(weights="none"), seed=0)
    to_do = {job.shard_id for job in left.jobs}
    assert to_do >= set(SHARDS) - finished
    assert to_do.isdisjoint(card.shard_id for card in store.registry.live_cards())


@pytest.mark.slow
@pytest.mark.parametrize(("blow", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_stopped_fit_keeps_what_is_finished_and_the_next_one_fits_only_the_rest(
    blow: signal.Signals, code: int, tmp_path: Path, draw: Draw
) -> None:
    store, words, stopped_with, said = stopped(tmp_path, draw, blow)
    assert stopped_with == code, said
    assert "Traceback" not in said
    finished = cards(tmp_path / "store")
    assert 1 <= len(finished) < len(SHARDS), "it was stopped too late to tell"

    again = subprocess.run([sys.executable, "-m", "cluster", *words, "--json", str(tmp_path / "again.json")], check=False)
    assert again.returncode == 0
    document = json.loads((tmp_path / "again.json").read_text())
    assert {one["shard_id"] for one in document["shards"]} == set(SHARDS)
    assert sum(one["skipped"] for one in document["shards"]) >= len(finished)
    after = cards(tmp_path / "store")
    assert {card: after[card] for card in finished} == finished, "a finished shard was fitted again"
    assert len(after) == len(SHARDS), "a shard has more than one generation"
    assert len(list(store.registry.live_cards())) == len(SHARDS)
