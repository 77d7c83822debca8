"""`hosts=0`: an ingress that computes itself, beside the application with hosts."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from ray import serve

from services.app import build
from services.settings import Settings

JPEG = {"content-type": "image/jpeg"}
NAME = "near"


@pytest.fixture(scope="module")
def near(client: httpx.Client, world: Any) -> Iterator[Callable[..., httpx.Response]]:
    """Asks the ingress without hosts."""
    settings = Settings(store=world.store.url, hosts=0, request_timeout_s=20, eye_weights="none")
    serve.run(build(settings), name=NAME, route_prefix=f"/{NAME}")
    yield lambda path, **more: client.request("POST" if more else "GET", f"/{NAME}{path}", **more)
    serve.delete(NAME)


def test_it_says_the_same_as_hosts_do(near: Callable[..., httpx.Response], client: httpx.Client, world: Any) -> None:
    asked = {"content": world.picture("gate"), "headers": JPEG}
    here, there = near("/v1/models/gate/predict", **asked), client.post("/v1/models/gate/predict", **asked)
    assert here.status_code == 200, here.text
    assert here.json()["images"] == there.json()["images"]
    assert here.json()["images"][0]["annotations"]


def test_it_is_ready_and_has_no_hosts(near: Callable[..., httpx.Response]) -> None:
    assert near("/readyz").json() == {"status": "ok"}
    assert set(serve.status().applications[NAME].deployments) == {"Ingress"}


def test_its_errors_are_problem_documents(near: Callable[..., httpx.Response], world: Any) -> None:
    broken = near("/v1/models/gate/predict", content=world.picture("gate")[:500], headers=JPEG)
    assert (broken.status_code, broken.json()["type"]) == (422, "urn:micromodels:bad-picture")
    unknown = near("/v1/models/nobody/predict", content=world.picture("gate"), headers=JPEG)
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:micromodels:unknown-model")
