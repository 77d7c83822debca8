"""Somebody is killed at a random moment: what is done stays done, what is visible is whole, and the rest is done once.

CHAOS_ROUNDS is the number of rounds. The number of a round is its seed: `pytest -m slow tests/cluster/test_chaos.py -k round17`.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import ray
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.session import ray_session
from training.learning.generation import fit_jobs, plan_fits
from training.learning.recipes import recipe
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.store.store import Store

pytestmark = pytest.mark.slow

Draw = Callable[..., Path]
Find = Callable[[int, str], list[int]]
run = CliRunner()
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "100"))
SHARDS = [f"cam{number}" for number in range(4)]
FRAMES = 16
START_S = 5.0
DRIVER = "driver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A verb; what it writes, one object for each piece of work, which takes about piece_s; and whom it can lose."""

    words: tuple[str, ...]
    written: str
    pieces: int
    piece_s: float
    victims: tuple[str, ...]


FIT = Job(
    words=("fit", "--recipe", "smoke", "--weights", "none", "--workers", "2"),
    written="models/*/*/gen-*/card.json",
    pieces=len(SHARDS),
    piece_s=1.0,
    victims=(DRIVER, "ray::Coordinator", "ray::RayTrainWorker"),
)
LABEL = Job(
    words=("label", "--frames-per-clip", "1", "--workers", "2"),
    written="predictions/*/*/*/*.parquet",
    pieces=len(SHARDS) * FRAMES,
    piece_s=0.05,
    victims=(DRIVER, "ray::Attempts", "_ClipActor"),
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A Ray of two CPUs that outlives its drivers."""
    with ray_session(num_cpus=2):
        yield str(ray.get_runtime_context().gcs_address)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> dict[Job, Path]:
    """For each job a store that waits for it."""
    folder = tmp_path_factory.mktemp("before")
    for number, name in enumerate(SHARDS):
        draw(folder / "data", name, seed=number)
    assert run.invoke(app, ["add", str(folder / "data"), "--store", str(folder / "added")]).exit_code == 0
    shutil.copytree(folder / "added", folder / "fitted")
    fitted, how = Store.open(str(folder / "fitted")), {"recipe": recipe("smoke"), "backbone": Backbone(weights="none"), "seed": 0}
    go_live(fitted, fit_jobs(fitted, plan_fits(fitted, None, None, **how).jobs, **how))
    return {FIT: folder / "added", LABEL: folder / "fitted"}


@pytest.mark.parametrize("seed", range(ROUNDS), ids=lambda seed: f"round{seed}")
def test_whoever_is_killed_nothing_is_lost_and_nothing_done_twice(
    seed: int, address: str, stores: dict[Job, Path], tmp_path: Path, processes_below: Find
) -> None:
    chance = random.Random(seed)
    job = chance.choice((FIT, LABEL))
    victim = chance.choice(job.victims)
    root = shutil.copytree(stores[job], tmp_path / "store")
    driver = start(job, root, address)
    find = (lambda: [driver.pid]) if victim == DRIVER else lambda: processes_below(os.getpid(), victim)
    hit = strike(job, root, driver, find, chance)
    while driver.poll() is None:
        check_models(root)
        time.sleep(0.2)
    check_models(root)
    assert driver.returncode == (-signal.SIGKILL if hit and victim == DRIVER else 0)

    before = written(job, root)
    assert start(job, root, address).wait(timeout=900) == 0
    after = written(job, root)
    assert {path: after[path] for path in before} == before, "what was finished was done again"
    assert len(after) == job.pieces
    check_models(root)
    store = Store.open(str(root))
    assert {card.shard_id: card.generation for card in store.registry.live_cards()} == dict.fromkeys(SHARDS, 1)
    if job is LABEL:
        check_frames(store)
    if not hit:
        pytest.skip(f"{job.words[0]} was over before {victim} could be killed; all was checked")


def start(job: Job, root: Path, address: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "cluster", *job.words, "--store", str(root)]
    return subprocess.Popen(words, env={**os.environ, "RAY_ADDRESS": address})


def strike(job: Job, root: Path, driver: subprocess.Popen[bytes], find: Callable[[], list[int]], chance: random.Random) -> bool:
    """Kill one of whom `find` finds, when some of the work is done; False if all of it was over before."""
    pieces, turn = chance.randrange(job.pieces), chance.random()
    while driver.poll() is None and (len(written(job, root)) < pieces or not find()):
        time.sleep(0.01)
    time.sleep(chance.uniform(0, job.piece_s if pieces else START_S))
    found = sorted(find())
    if driver.poll() is not None or not found:
        return False
    os.kill(found[int(turn * len(found))], signal.SIGKILL)
    return True


def written(job: Job, root: Path) -> dict[Path, int]:
    """What the job wrote so far, and when."""
    return {path: path.stat().st_mtime_ns for path in root.glob(job.written)}


def check_models(root: Path) -> None:
    """Every generation that can be seen has its weights, whole, and there is one of each micro-model."""
    registry = Store.open(str(root)).registry
    for shard_id in SHARDS:
        for ontology in registry.ontologies(shard_id):
            assert registry.generations(shard_id, ontology) == [1]
            registry.load(registry.card(shard_id, ontology, 1))


def check_frames(store: Store) -> None:
    """Every frame of every shard is labelled, in one object only."""
    for card in store.registry.live_cards():
        assert store.predictions.done(card.shard_id, card.ontology, 1) == [(index, index + 1) for index in range(FRAMES)]
        labels, errors = store.predictions.read(card.shard_id, card.ontology, 1)
        assert [frame.frame_index for frame in labels] == list(range(FRAMES))
        assert errors == {}
