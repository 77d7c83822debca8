"""A replica is killed while clients ask without a pause: what was in flight on it is lost, said so, and nothing else is."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

PATIENCE_S = 120.0
CLIENTS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    began_s: float
    ended_s: float
    response: httpx.Response


@contextmanager
def asking(client: httpx.Client, picture: bytes) -> Iterator[list[Asked]]:
    """Clients that ask again as soon as they are answered, for as long as the block lasts; what they heard."""
    heard: list[Asked] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=client.base_url, timeout=PATIENCE_S) as one:
            while not stop.is_set():
                began = time.monotonic()
                response = one.post("/v1/models/gate/predict", content=picture, headers={"content-type": "image/jpeg"})
                heard.append(Asked(began_s=began, ended_s=time.monotonic(), response=response))

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
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
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("deployment", ["Host", "Ingress"])
def test_only_what_was_in_flight_on_a_killed_replica_is_lost_and_another_takes_over(
    client: httpx.Client, world: Any, replicas: Callable[[str], list[int]], deployment: str
) -> None:
    (old,) = replicas(deployment)
    with asking(client, world.picture("gate")) as heard:
        wait_until(lambda: len(heard) > 5 * CLIENTS)
        killed_s = time.monotonic()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: sum(one.began_s > killed_s and one.response.status_code == 200 for one in heard) > 5 * CLIENTS)
    lost = [one for one in heard if one.response.status_code != 200]
    assert all(one.began_s < killed_s < one.ended_s for one in lost)
    for one in lost:
        assert one.response.status_code == 503
        assert one.response.headers["content-type"] == "application/problem+json"
        assert int(one.response.headers["retry-after"]) > 0
    (new,) = replicas(deployment)
    assert new != old
