"""Two nodes of one CPU each; one of them dies while it works, and none comes in its place."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from typer.testing import CliRunner

from cluster.cli.main import app
from training.store.store import Store

pytestmark = pytest.mark.slow

Draw = Callable[..., Path]
run = CliRunner()
SHARDS = [f"cam{number}" for number in range(6)]
FRAMES = 16


@pytest.fixture(scope="module")
def head(start_head: Callable[..., AbstractContextManager[Cluster]]) -> Iterator[Cluster]:
    with start_head(num_cpus=1) as nodes:
        yield nodes


def run_and_lose_a_node(head: Cluster, words: list[str], begun: Callable[[], bool]) -> None:
    """Run a verb on two nodes, kill the second as soon as the work has begun, and see the verb succeed."""
    second = head.add_node(num_cpus=1)
    environment = {**os.environ, "RAY_ADDRESS": head.address}
    driver = subprocess.Popen([sys.executable, "-m", "cluster", *words, "--workers", "2"], env=environment)
    while not begun() and driver.poll() is None:
        time.sleep(0.05)
    assert driver.poll() is None, "it was over before a node could be killed"
    head.remove_node(second, allow_graceful=False)
    assert driver.wait(timeout=900) == 0


def cards(store: Path) -> dict[Path, int]:
    return {card: card.stat().st_mtime_ns for card in store.glob("models/*/*/gen-*/card.json")}


def test_a_node_that_dies_takes_no_shard_and_no_frame_with_it(head: Cluster, tmp_path: Path, draw: Draw) -> None:
    root = tmp_path / "store"
    for number, name in enumerate(SHARDS):
        draw(tmp_path / "data", name, seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(root)]).exit_code == 0
    finished: dict[Path, int] = {}

    def one_is_fitted() -> bool:
        finished.update(cards(root))
        return bool(finished)

    run_and_lose_a_node(head, ["fit", "--store", str(root), "--recipe", "smoke", "--weights", "none"], one_is_fitted)
    after = cards(root)
    assert {card: after[card] for card in finished} == finished, "a finished shard was fitted again"
    store = Store.open(str(root))
    assert {card.shard_id: card.generation for card in store.registry.live_cards()} == dict.fromkeys(SHARDS, 1)
    assert len(after) == len(SHARDS), "a shard has more than one generation"

    label = ["label", "--store", str(root), "--frames-per-clip", "1"]
    run_and_lose_a_node(head, label, lambda: any(root.glob("predictions/**/*.parquet")))
    for card in store.registry.live_cards():
        clips = store.predictions.done(card.shard_id, card.ontology, card.generation)
        labels, errors = store.predictions.read(card.shard_id, card.ontology, card.generation)
        assert clips == [(index, index + 1) for index in range(FRAMES)]
        assert [frame.frame_index for frame in labels] == list(range(FRAMES))
        assert errors == {}
