"""Two shards fitted for real, and the application that serves them on a Ray of four CPUs, however many there are."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import ray
from fastapi import FastAPI
from numpy.typing import NDArray
from ray import serve

from services.api import create_api
from services.app import build
from services.catalogue import Catalogue
from services.keys import KeyFile
from services.near_host import NearHost
from services.settings import Settings
from services.submitting import ClusterJob
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.pictures import encode_jpeg
from training.data.sources import probe
from training.learning.generation import fit_jobs, plan_fits
from training.learning.recipes import smoke
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.store.store import Store

ONTOLOGY = Ontology(name="detection.square", task="detection", classes=("square",))
HEAD = replace(smoke(), parameters="head", cached_views=12, steps=150, neck_channels=24, mirror=0)
WHOLE = replace(smoke(), steps=60, peak_lr=1e-2, zoom=1.1, mirror=0, brightness=0, contrast=0)
FITTED = {"gate": (HEAD, Backbone(name="resnet18", weights="none")), "yard": (WHOLE, Backbone(weights="none"))}
SEEDS = {"gate": 1, "yard": 2}
WIDTH, HEIGHT, SIDE = 96, 64, 24


def draw(index: int, seed: int) -> tuple[NDArray[np.uint8], Annotation]:
    """A bright square over dark noise, further right in every picture, and where it is."""
    picture = np.random.default_rng(seed).integers(0, 80, (HEIGHT, WIDTH, 3), np.uint8)
    x, y = 4 + 8 * index, 8 + 3 * index
    picture[y : y + SIDE, x : x + SIDE] = (250, 240, 40) if seed % 2 else (60, 230, 250)
    return picture, Annotation(class_name="square", bbox_xyxy=(x, y, x + SIDE, y + SIDE))


def add_labelled_shard(store: Store, folder: Path, shard_id: str, seed: int) -> None:
    source = folder / shard_id
    source.mkdir(parents=True)
    drawn = [draw(index, seed) for index in range(8)]
    for index, (picture, _) in enumerate(drawn):
        (source / f"{index:03d}.jpg").write_bytes(encode_jpeg(picture, 95))
    store.add_shard(probe(str(source), shard_id=shard_id))
    labels = [FrameLabels(shard_id=shard_id, frame_index=n, annotations=(said,)) for n, (_, said) in enumerate(drawn)]
    store.annotate(shard_id, ONTOLOGY.name, labels)


@dataclass(frozen=True)
class World:
    """A store with `gate` and `yard` fitted and live, and pictures of them."""

    store: Store

    @staticmethod
    def picture(shard_id: str, index: int = 3) -> bytes:
        return encode_jpeg(draw(index, SEEDS[shard_id])[0], 95)

    def publish_again(self, of: str, *, shard_id: str) -> None:
        """The live micro-model of one shard as the next generation of another (or of a new one)."""
        card = self.store.registry.resolve(of)
        copy = replace(card, shard_id=shard_id, generation=0, fit_key=f"copy of {card.ref}")
        published = self.store.registry.publish(copy, self.store.registry.load(card))
        self.store.registry.promote(shard_id, published.ontology, published.generation, "copied")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    store = Store.create(str(folder / "store"))
    store.add_ontology(ONTOLOGY)
    for shard_id, seed in SEEDS.items():
        add_labelled_shard(store, folder, shard_id, seed)
        recipe, backbone = FITTED[shard_id]
        plan = plan_fits(store, [shard_id], None, recipe=recipe, backbone=backbone, seed=0)
        (receipt,) = go_live(store, fit_jobs(store, plan.jobs, recipe=recipe, backbone=backbone, seed=0))
        assert receipt.error is None
    return World(store=store)


class Cluster:
    """The far side of the network: jobs run from when they are submitted until somebody stops them."""

    def __init__(self) -> None:
        self._jobs: dict[str, ClusterJob] = {}

    async def submit(self, name: str, command: str) -> None:
        self._jobs.setdefault(name, ClusterJob(state="running"))

    async def find(self, name: str) -> ClusterJob | None:
        return self._jobs.get(name)

    async def stop(self, name: str) -> None:
        if name in self._jobs:
            self._jobs[name] = ClusterJob(state="stopped")


@pytest.fixture
def api_here(world: World, tmp_path: Path) -> Callable[..., FastAPI]:
    """Settings values -> the whole API in this process, over a copy of the store that a request may spoil."""

    def make(keys: KeyFile | None = None, **values: Any) -> FastAPI:
        url = tmp_path / "store"
        shutil.copytree(world.store.url, url)
        settings = Settings(store=str(url), **values)
        catalogue = Catalogue(Store.open(settings.store), ttl_s=settings.live_ttl_s)
        return create_api(catalogue, NearHost(settings), settings, keys, Cluster())

    return make


@pytest.fixture
def replicas() -> Callable[[], list[int]]:
    """Process ids of the replicas of a deployment, on the Ray that this process started."""

    def find(deployment: str = "") -> list[int]:
        named = f"ray::ServeReplica:micromodels:{deployment}"
        return [pid for pid in _descendants(os.getpid()) if _said(pid, "cmdline").startswith(named)]

    return find


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in _said(pid, f"task/{pid}/children").split()]
    return [*children, *(one for child in children for one in _descendants(child))]


def _said(pid: int, name: str) -> str:
    """By /proc about a process; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@pytest.fixture(scope="session")
def settings(world: World) -> Settings:
    """Of the whole application."""
    return Settings(
        store=world.store.url,
        live_ttl_s=0.2,
        batch_wait_s=0.2,
        max_images=8,
        max_image_bytes=200_000,
        max_input_pixels=100_000,
        eye_weights="none",
    )


@pytest.fixture(scope="session")
def client(settings: Settings, free_port: Callable[[], int]) -> Iterator[httpx.Client]:
    """A client of the whole application: proxy, ingress, host."""
    port = free_port()
    os.environ["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] = "services.front:middlewares"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(build(settings), name="micromodels", route_prefix="/")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
        serve.shutdown()
    finally:
        ray.shutdown()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a client heard of one request; response: None of none."""

    began_s: float
    ended_s: float
    response: httpx.Response | None

    @property
    def status(self) -> int:
        """0 without an answer."""
        return self.response.status_code if self.response is not None else 0


@pytest.fixture
def asking(client: httpx.Client, world: World) -> Callable[[int, float], AbstractContextManager[list[Heard]]]:
    """So many clients that ask for `gate` again as soon as they are answered, for as long as the block lasts; what they heard."""
    picture = world.picture("gate")

    @contextmanager
    def block(num_clients: int, patience_s: float) -> Iterator[list[Heard]]:
        heard: list[Heard] = []
        stop = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=client.base_url, timeout=patience_s) as one:
                while not stop.is_set():
                    began_s, response = time.monotonic(), None
                    with suppress(httpx.HTTPError):
                        response = one.post("/v1/models/gate/predict", content=picture, headers={"content-type": "image/jpeg"})
                    heard.append(Heard(began_s=began_s, ended_s=time.monotonic(), response=response))

        threads = [threading.Thread(target=ask) for _ in range(num_clients)]
        for thread in threads:
            thread.start()
        try:
            yield heard
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    return block


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool], float], None]:
    """Looks again and again until the fact is there, for so many seconds at most."""

    def wait(fact: Callable[[], bool], patience_s: float) -> None:
        until = time.monotonic() + patience_s
        while not fact():
            assert time.monotonic() < until, "waited in vain"
            time.sleep(0.05)

    return wait
