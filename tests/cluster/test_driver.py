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
from training.store.store import Store

Draw = Callable[..., Path]
run = CliRunner()
SHARDS = [f"cam{number}" for number in range(6)]


def cards(store: Path) -> dict[str, int]:
    """Published generations, and when each was written."""
    return {str(card.relative_to(store)): card.stat().st_mtime_ns for card in store.glob("models/*/*/gen-*/card.json")}


@pytest.mark.parametrize(
    ("blow", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_fit_keeps_what_is_finished_and_the_next_one_fits_only_the_rest(
    blow: signal.Signals, code: int, tmp_path: Path, draw: Draw
) -> None:
    store = tmp_path / "store"
    for number, name in enumerate(SHARDS):
        draw(tmp_path / "data", name, seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(store)]).exit_code == 0
    words = ["fit", "--store", str(store), "--recipe", "smoke", "--weights", "none", "--workers", "2"]
    driver = subprocess.Popen([sys.executable, "-m", "cluster", *words], stderr=subprocess.PIPE, text=True)
    while len(cards(store)) < 1 and driver.poll() is None:
        time.sleep(0.05)
    driver.send_signal(blow)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == code, said
    assert "Traceback" not in said
    finished = cards(store)
    assert 1 <= len(finished) < len(SHARDS), "it was stopped too late to tell"

    again = subprocess.run([sys.executable, "-m", "cluster", *words, "--json", str(tmp_path / "again.json")], check=False)
    assert again.returncode == 0
    document = json.loads((tmp_path / "again.json").read_text())
    assert {one["shard_id"] for one in document["shards"]} == set(SHARDS)
    assert sum(one["skipped"] for one in document["shards"]) >= len(finished)
    after = cards(store)
    assert {card: after[card] for card in finished} == finished, "a finished shard was fitted again"
    assert len(after) == len(SHARDS), "a shard has more than one generation"
    assert len(list(Store.open(str(store)).registry.live_cards())) == len(SHARDS)
