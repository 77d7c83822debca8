"""Somebody is killed at a random moment: what is done stays done, what is visible is whole, and the rest is done once.

CHAOS_ROUNDS is the number of rounds. The number of a round is its seed: `pytest -m slow tests/cluster/test_chaos.py -k round17`.
Stores are directories, and in a share of the rounds on S3: always when the storage server is who is killed.
"""

import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import ray
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.session import ray_session
from training.errors import StoreUnreachable
from training.learning.generation import fit_jobs, plan_fits
from training.learning.labeller import Labeller
from training.learning.labelling import plan_clips
from training.learning.recipes import recipe
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.store.store import Store

pytestmark = pytest.mark.slow

Draw = Callable[..., Path]
Find = Callable[[int, str], list[int]]
Tell = Callable[..., None]
run = CliRunner()
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "100"))
SHARDS = [f"cam{number}" for number in range(4)]
FRAMES = 16
START_S = 5.0
LONGEST_PAUSE_S = 12.0  # of a storage server; less than the patience of a request is likely, more is possible
BUCKET = "chaos"
SHARE_ON_S3 = 0.25
SHARE_OF_SECOND_JOBS = 0.25  # the rest is done in this process where a first job left something
DRIVER, STORAGE = "driver", "storage server"
HOW: dict[str, Any] = {"recipe": recipe("smoke"), "backbone": Backbone(name="shufflenet_v2_x0_5", weights="none"), "seed": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A verb; what it writes, one object for each piece of work, which takes about piece_s; and whom it can lose."""

    words: tuple[str, ...]
    written: str
    pieces: int
    piece_s: float
    victims: tuple[str, ...]


FIT = Job(
    words=("fit", "--recipe", "smoke", "--backbone", "shufflenet_v2_x0_5", "--weights", "none", "--workers", "2"),
    written=r"models/.*/gen-\d+/card\.json",
    pieces=len(SHARDS),
    piece_s=0.5,
    victims=(DRIVER, "ray::Coordinator", "ray::RayTrainWorker", STORAGE),
)
LABEL = Job(
    words=("label", "--frames-per-clip", "1", "--workers", "2"),
    written=r"predictions/.*/[0-9-]+\.parquet",
    pieces=len(SHARDS) * FRAMES,
    piece_s=0.05,
    victims=(DRIVER, "ray::Attempts", "_ClipActor", STORAGE),
)


@pytest.fixture(scope="module")
def address(storage: Any) -> Iterator[str]:
    """A Ray of two CPUs that outlives its drivers, and knows where the storage server is, or will be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", storage.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testtest")
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
    finish(FIT, Store.open(str(folder / "fitted")))
    return {FIT: folder / "added", LABEL: folder / "fitted"}


@pytest.fixture(scope="module")
def drivers(address: str) -> Iterator["Drivers"]:
    started = Drivers(address)
    with started.process:
        yield started
        started.process.kill()


@pytest.mark.parametrize("seed", range(ROUNDS), ids=lambda seed: f"round{seed}")
def test_whoever_is_killed_nothing_is_lost_and_nothing_done_twice(
    seed: int, drivers: "Drivers", storage: Any, stores: dict[Job, Path], tmp_path: Path, processes_below: Find, tell: Tell
) -> None:
    began, chance = time.monotonic(), random.Random(seed)
    job = chance.choice((FIT, LABEL))
    victim = chance.choice(job.victims)
    on_s3 = victim == STORAGE or chance.random() < SHARE_ON_S3
    url = copied(stores[job], seed if on_s3 else tmp_path / "store", storage)
    driver = drivers.start(job, url, tmp_path / "driver.log")
    find = (lambda: [driver]) if victim in (DRIVER, STORAGE) else lambda: processes_below(os.getpid(), victim)
    pid = strike(job, url, drivers, find, chance)
    if pid and victim == STORAGE:
        storage.kill()
        time.sleep(chance.uniform(0, LONGEST_PAUSE_S))
        storage.start()
    elif pid:
        os.kill(pid, signal.SIGKILL)
    while drivers.poll() is None:
        check_models(url, patient=True)
        time.sleep(0.3)
    check_models(url)
    said = (tmp_path / "driver.log").read_text()
    assert drivers.poll() in {DRIVER: (-signal.SIGKILL,), STORAGE: (0, 2, 3)}.get(victim if pid else "", (0,)), said

    store, before = Store.open(url), written(job, url)
    left = remaining(job, store)
    assert not left or drivers.poll() != 0, f"it succeeded, and there is more to do: {left}"
    again = bool(left) and chance.random() < SHARE_OF_SECOND_JOBS
    if again:
        drivers.start(job, url, tmp_path / "second.log")
        while drivers.poll() is None:
            time.sleep(0.1)
        assert drivers.poll() == 0, (tmp_path / "second.log").read_text()
    else:
        finish(job, store)
    after = written(job, url)
    assert {key: after[key] for key in before} == before, "what was finished was done again"
    assert len(after) == job.pieces
    assert remaining(job, store) == []
    check_models(url)
    assert {card.shard_id: card.generation for card in store.registry.live_cards()} == dict.fromkeys(SHARDS, 1)
    if job is LABEL:
        check_frames(store)
    tell(
        verb=job.words[0],
        victim=victim.removeprefix("ray::"),
        store="S3" if on_s3 else "directory",
        hit=bool(pid),
        left=len(left),
        second_job=again,
        seconds=time.monotonic() - began,
    )
    if not pid:
        pytest.skip(f"{job.words[0]} was over before {victim} could be killed; all was checked")


class Drivers:
    """Verbs as processes, one after the other, forked from one that has imported everything."""

    def __init__(self, address: str) -> None:
        script = Path(__file__).with_name("fork_drivers.py")
        root = str(script.parents[2])
        environment = {**os.environ, "RAY_ADDRESS": address, "PYTHONPATH": root}
        self.process = subprocess.Popen([sys.executable, script], env=environment, stdin=-1, stdout=-1, bufsize=0)
        self._code: int | None = None

    def start(self, job: Job, url: str, log: Path) -> int:
        """Start a verb and return its process id."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([str(log), *job.words, "--store", url]).encode() + b"\n")
        self._code = None
        return self._answer()

    def poll(self) -> int | None:
        """The exit code of the verb started last, None while it runs."""
        if self._code is None and select.select([self.process.stdout], [], [], 0)[0]:
            self._code = self._answer()
        return self._code

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


def copied(source: Path, target: Path | int, storage: Any) -> str:
    """A copy of a store, in a folder or below a number on S3; returns its URL."""
    if isinstance(target, Path):
        return str(shutil.copytree(source, target))
    storage.start()
    client().create_bucket(Bucket=BUCKET)
    for file in source.rglob("*"):
        if file.is_file():
            client().put_object(Bucket=BUCKET, Key=f"{target}/{file.relative_to(source)}", Body=file.read_bytes())
    return f"s3://{BUCKET}/{target}"


def strike(job: Job, url: str, drivers: Drivers, find: Callable[[], list[int]], chance: random.Random) -> int | None:
    """Wait until some of the work is done, and a moment more; return one of whom `find` finds, None if all was over before."""
    pieces, turn = chance.randrange(job.pieces), chance.random()
    while drivers.poll() is None and (len(written(job, url)) < pieces or not find()):
        time.sleep(0.02)
    time.sleep(chance.uniform(0, job.piece_s if pieces else START_S))
    found = sorted(find())
    return found[int(turn * len(found))] if drivers.poll() is None and found else None


def remaining(job: Job, store: Store) -> list[Any]:
    """What the verb would do now."""
    plan = plan_fits(store, None, None, **HOW) if job is FIT else plan_clips(store, None, None, frames_per_clip=1)
    assert plan.failures == {}
    return list(plan.jobs if job is FIT else plan.clips)


def finish(job: Job, store: Store) -> None:
    """Do the rest of what the verb would do, in this process."""
    left = remaining(job, store)
    if job is FIT:
        errors = [receipt.error for receipt in go_live(store, fit_jobs(store, left, **HOW))]
    else:
        errors = [receipt.error for receipt in Labeller(store).label(left)]
    assert errors == [None] * len(left)


def written(job: Job, url: str) -> dict[str, str]:
    """What the job wrote so far, and when."""
    if url.startswith("s3://"):
        prefix = url.removeprefix(f"s3://{BUCKET}/")
        pages = client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        objects = [one for page in pages for one in page["Contents"]]
        found = {one["Key"].removeprefix(f"{prefix}/"): f"{one['LastModified']} {one['ETag']}" for one in objects}
    else:
        files = (file for file in Path(url).rglob(f"*{Path(job.written).suffix}"))
        found = {str(file.relative_to(url)): str(file.stat().st_mtime_ns) for file in files}
    return {key: when for key, when in found.items() if re.fullmatch(job.written, key)}


def check_models(url: str, *, patient: bool = False) -> None:
    """Every generation that can be seen has its weights, whole, and there is one of each micro-model."""
    try:
        registry = Store.open(url).registry
        for shard_id in SHARDS:
            for ontology in registry.ontologies(shard_id):
                assert registry.generations(shard_id, ontology) == [1]
                registry.load(registry.card(shard_id, ontology, 1))
    except StoreUnreachable:
        assert patient


def check_frames(store: Store) -> None:
    """Every frame of every shard is labelled, in one object only."""
    for card in store.registry.live_cards():
        assert store.predictions.done(card.shard_id, card.ontology, 1) == [(index, index + 1) for index in range(FRAMES)]
        labels, errors = store.predictions.read(card.shard_id, card.ontology, 1)
        assert errors == {}
        assert [frame.frame_index for frame in labels] == list(range(FRAMES))


@cache
def client() -> Any:
    return botocore.session.get_session().create_client("s3")
