"""A store with two published micro-models, and an API whose hosts answer a fixed box."""

import asyncio
import copy
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from PIL import Image

from services.answering import Answer
from services.api import create_api
from services.catalogue import Catalogue
from services.keys import KeyFile
from services.measures import MEASURES
from services.payload import Picture
from services.settings import Settings
from services.submitting import Submitter
from training.data.annotations import Annotation, FrameLabels
from training.data.pictures import decode_picture
from training.store.card import Card
from training.store.store import Store

TENSORS = {"w": torch.zeros(3)}


def picture_bytes(width: int = 40, height: int = 30, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(out, kind)
    return out.getvalue()


def card(shard_id: str, ontology: str = "detection.fly", **values: Any) -> Card:
    return Card(shard_id=shard_id, ontology=ontology, task="detection", classes=("fly",), **values)


class FixedHosts:
    """The far side of the network: two flies on every picture, scored 0.9 and 0.4; `broken` is raised instead."""

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.asked: list[tuple[Card, list[Picture]]] = []

    async def predict(self, card: Card, pictures: Sequence[Picture]) -> Answer:
        await self.check()
        self.asked.append((card, list(pictures)))
        images = [decode_picture(picture.data, name=picture.name) for picture in pictures]
        flies = tuple(
            Annotation(class_name="fly", bbox_xyxy=(1, 2, 11, 22), provenance="model", score=score) for score in (0.9, 0.4)
        )
        labels = (FrameLabels(shard_id=card.shard_id, frame_index=n, annotations=flies) for n in range(len(images)))
        sizes_wh = tuple((image.shape[1], image.shape[0]) for image in images)
        return Answer(labels=tuple(labels), sizes_wh=sizes_wh, model_s=0.01, batch_images=len(images))

    async def check(self) -> None:
        if self.broken is not None:
            raise self.broken


class Told:
    """The far side of the network: what Prometheus would have, a series for each name with its tags."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, frozenset[tuple[str, str]]], list[float]] = {}

    def count(self, name: str, by: float = 1, **tags: str) -> None:
        self._tell("counter", name, by, tags)

    def observe(self, name: str, value: float, **tags: str) -> None:
        self._tell("histogram", name, value, tags)

    def show(self, name: str, value: float) -> None:
        self._tell("gauge", name, value, {})

    def total(self, name: str, **tags: str) -> float:
        return sum(self.values(name, **tags))

    def values(self, name: str, **tags: str) -> list[float]:
        """Of every series that has these tags."""
        return [value for (said, its), values in self.series.items() if said == name and tags.items() <= its for value in values]

    def _tell(self, kind: str, name: str, value: float, tags: dict[str, str]) -> None:
        measure = MEASURES[name]
        assert (measure.kind, set(measure.tags)) == (kind, set(tags)), name
        self.series.setdefault((name, frozenset(tags.items())), []).append(value)


class Client:
    """Asks an application directly, without a socket; base_url: the address that it would have been connected to."""

    def __init__(self, api: FastAPI, base_url: str) -> None:
        self._transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        self._base_url = base_url

    def at(self, base_url: str) -> "Client":
        """One that asks the same application elsewhere."""
        other = copy.copy(self)
        other._base_url = base_url
        return other

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url=self._base_url) as client:
                return await client.request(method, path, **sent)

        return asyncio.run(ask())

    def get(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("POST", path, **sent)

    def delete(self, path: str, **sent: Any) -> httpx.Response:
        return self.request("DELETE", path, **sent)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(str(tmp_path / "store"))
    for shard_id in ("garden", "hall"):
        published = made.registry.publish(card(shard_id, fit_key="first"), TENSORS)
        made.registry.promote(shard_id, published.ontology, published.generation, "first")
    return made


@pytest.fixture
def hosts() -> FixedHosts:
    return FixedHosts()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def client_of(store: Store, hosts: FixedHosts, told: Told) -> Callable[..., Client]:
    """Settings values -> a client of an API over `store` and `hosts`."""

    def make(
        base_url: str = "http://127.0.0.1:8000",
        keys: KeyFile | None = None,
        jobs: Submitter | None = None,
        tracer: Any = None,
        **values: Any,
    ) -> Client:
        settings = Settings(store=store.url, live_ttl_s=0, **values)
        api = create_api(Catalogue(store, ttl_s=settings.live_ttl_s), hosts, settings, keys, jobs, told, tracer)
        return Client(api, base_url)

    return make


@pytest.fixture
def client(client_of: Callable[..., Client]) -> Client:
    return client_of()


@pytest.fixture
def png() -> bytes:
    return picture_bytes()


@pytest.fixture
def make_picture() -> Callable[..., bytes]:
    return picture_bytes


@pytest.fixture
def make_card() -> Callable[..., Card]:
    return card
