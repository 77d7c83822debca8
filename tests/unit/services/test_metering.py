"""What the service counts, and that a fleet of any size makes the same series."""

import asyncio
import base64
import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from services.answering import Answerer
from services.api import create_api
from services.catalogue import Catalogue
from services.measures import MEASURES, RayMeters
from services.payload import Picture
from services.settings import Settings
from training.errors import HostsBusy, TimedOut
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.store.card import Card
from training.store.store import Store

JPEG = {"content-type": "image/png"}
PREDICT = "/v1/models/{shard_id}/predict"


def predict(client: Any, shard_id: str, png: bytes) -> int:
    return int(client.post(f"/v1/models/{shard_id}/predict", content=png, headers=JPEG).status_code)


def test_fifty_models_make_the_series_of_one(
    client: Any, told: Any, store: Store, make_card: Callable[..., Card], png: bytes
) -> None:
    for number in range(50):
        shard_id = f"cam-{number:03d}"
        published = store.registry.publish(make_card(shard_id, fit_key="x"), {"w": torch.zeros(3)})
        store.registry.promote(shard_id, published.ontology, published.generation, "first")
    assert predict(client, "garden", png) == 200
    of_one = set(told.series)
    assert [predict(client, f"cam-{number:03d}", png) for number in range(50)] == [200] * 50
    assert set(told.series) == of_one
    assert told.total("micromodels_requests", route=PREDICT, task="detection", status="2xx") == 51
    assert told.total("micromodels_pictures", task="detection") == 51
    assert len(told.values("micromodels_request_seconds", route=PREDICT, task="detection")) == 51


def test_who_asks_for_what_is_not_there_makes_no_series_of_it(client: Any, told: Any) -> None:
    for number in range(20):
        assert client.get(f"/nowhere/{number}").status_code == 404
        assert client.request(f"M{number}", "/v1/models").status_code == 405
        assert client.get(f"/v1/models/nobody-{number}").status_code == 404
    requests = [dict(tags) for name, tags in told.series if name == "micromodels_requests"]
    assert sorted((one["route"], one["method"], one["status"]) for one in requests) == [
        ("/v1/models", "other", "4xx"),
        ("/v1/models/{shard_id}", "GET", "4xx"),
        ("none", "other", "4xx"),
    ]


@pytest.mark.parametrize(
    ("error", "reason", "status"), [(HostsBusy("full"), "hosts-busy", "5xx"), (TimedOut("late"), "timed-out", "5xx")]
)
def test_requests_that_no_host_takes_are_counted_by_the_reason(
    client: Any, hosts: Any, told: Any, png: bytes, error: Exception, reason: str, status: str
) -> None:
    hosts.broken = error
    predict(client, "garden", png)
    assert told.total("micromodels_refusals", where="ingress", reason=reason) == 1
    assert told.total("micromodels_requests", task="detection", status=status) == 1
    assert told.values("micromodels_pictures") == []


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/v1/models/garden/predict", "image/png"),
        ("/v1/models/garden/predict", "multipart/form-data; boundary=x"),
        ("/v1/annotations", "application/json"),
    ],
)
def test_a_client_that_goes_before_its_body_is_whole_is_lost_and_nobodys_mistake(
    store: Store, hosts: Any, told: Any, caplog: pytest.LogCaptureFixture, path: str, media_type: str
) -> None:
    settings = Settings(store=store.url)
    api = create_api(Catalogue(store, ttl_s=0), hosts, settings, meters=told)
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "server": ("127.0.0.1", 8000),
        "headers": [(b"host", b"localhost"), (b"content-type", media_type.encode())],
    }
    beginning = b'--x\r\ncontent-disposition: form-data; name="images"; filename="a.png"\r\n\r\nabc'
    arrives = iter([{"type": "http.request", "body": beginning, "more_body": True}])
    said: list[Any] = []

    async def receive() -> Any:
        return next(arrives, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(api(scope, receive, send))
    assert said == []
    assert told.total("micromodels_requests", status="lost") == told.total("micromodels_requests") == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_stream_counts_every_picture_and_is_one_request(client: Any, told: Any, png: bytes) -> None:
    line = f'{{"image": "{base64.b64encode(png).decode()}"}}\n'
    path = "/v1/models/garden/predict-stream"
    response = client.post(path, content=line * 5, headers={"content-type": "application/x-ndjson"})
    assert response.text.count("\n") == 5
    assert told.total("micromodels_pictures", task="detection") == 5
    assert told.total("micromodels_requests", task="detection") == 1


def test_a_host_tells_of_each_pass_and_what_its_cache_did_since(
    told: Any, store: Store, monkeypatch: pytest.MonkeyPatch, png: bytes
) -> None:
    answerer = Answerer(store, Settings(store=store.url), told)
    model: Any = type("Model", (), {"shard_id": "garden", "ontology": type("O", (), {"keypoints": ()}), "num_bytes": 7})()
    model.network = type("Network", (), {"config": type("Config", (), {"scale": 1.0})})
    monkeypatch.setattr(ModelCache, "_load", lambda self, key, card: self._keep(key, model, None) or model)
    monkeypatch.setattr(Bank, "__init__", lambda *_: None)
    monkeypatch.setattr(Bank, "predict", lambda self, frames, _: [None] * len(frames))
    card = store.registry.resolve("garden")
    pictures = [Picture(name="one", data=png, num_pixels=1200)]
    for _ in range(2):
        answerer.answer([answerer.prepare(card, pictures), answerer.prepare(card, pictures * 2)])
    assert told.values("micromodels_batch_requests") == [2, 2]
    assert told.values("micromodels_batch_pictures") == [3, 3]
    assert told.values("micromodels_batch_models") == [1, 1]
    assert told.values("micromodels_cache_loads") == [1, 0]
    assert told.values("micromodels_cache_hits") == [1, 2]
    assert told.values("micromodels_cache_bytes") == [7, 7]


def test_ray_takes_every_measure() -> None:
    meters = RayMeters()
    for name, one in MEASURES.items():
        tags = dict.fromkeys(one.tags, "x")
        if one.kind == "counter":
            meters.count(name, **tags)
        elif one.kind == "histogram":
            meters.observe(name, 1.0, **tags)
        else:
            meters.show(name, 1.0)
