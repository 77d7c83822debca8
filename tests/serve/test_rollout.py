"""New code, new settings, more hosts and fewer, while clients ask without a pause: nobody is turned away."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from ray import serve

from services.app import build
from services.settings import Settings

PATIENCE_S = 240.0
JPEG = {"content-type": "image/jpeg"}
Replicas = Callable[[str], list[int]]


@contextmanager
def asking(client: httpx.Client, picture: bytes, num_clients: int) -> Iterator[list[int]]:
    """Clients that ask again as soon as they are answered, for as long as the block lasts; the statuses they got."""
    heard: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=client.base_url, timeout=PATIENCE_S) as one:
            while not stop.is_set():
                try:
                    heard.append(one.post("/v1/models/gate/predict", content=picture, headers=JPEG).status_code)
                except httpx.HTTPError:
                    heard.append(0)

    threads = [threading.Thread(target=ask) for _ in range(num_clients)]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_until(fact: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.2)


@pytest.fixture
def deploy(client: httpx.Client, world: Any, settings: Settings) -> Iterator[Callable[..., None]]:
    """Deploy over what runs, with other settings; in the end what was there before."""

    def again(**values: Any) -> None:
        serve.run(build(settings.model_copy(update=values)), name="micromodels", route_prefix="/")

    yield again
    again()


@pytest.mark.slow
def test_no_request_fails_while_every_replica_is_replaced(
    client: httpx.Client, world: Any, replicas: Replicas, deploy: Callable[..., None]
) -> None:
    before = {*replicas("Host"), *replicas("Ingress")}
    with asking(client, world.picture("gate"), 4) as heard:
        wait_until(lambda: len(heard) > 20)
        deploy(max_images=1)
        so_far = len(heard)
        wait_until(lambda: len(heard) > so_far + 20)
    assert set(heard) == {200}
    assert not before & {*replicas("Host"), *replicas("Ingress")}
    two = [("images", (f"{n}.jpg", world.picture("gate"), "image/jpeg")) for n in range(2)]
    assert client.post("/v1/models/gate/predict", files=two).status_code == 413, "the new settings hold"


@pytest.mark.slow
def test_hosts_come_while_requests_queue_and_go_again_and_no_request_fails(
    client: httpx.Client, world: Any, replicas: Replicas, deploy: Callable[..., None]
) -> None:
    deploy(hosts=1, max_hosts=2, batch_requests=2, scale_up_after_s=0, scale_down_after_s=0)
    assert len(replicas("Host")) == 1
    with asking(client, world.picture("gate"), 10) as heard:
        wait_until(lambda: len(replicas("Host")) == 2)
    with asking(client, world.picture("gate"), 1) as heard_later:
        wait_until(lambda: len(replicas("Host")) == 1)
    assert set(heard) == set(heard_later) == {200}
