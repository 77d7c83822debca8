"""A replica is killed while clients ask without a pause: what was in flight on it is lost, said so, and nothing else is."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

PATIENCE_S = 120.0
CLIENTS = 4
HALF = (
    b"POST /v1/models/gate/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\ncontent-length: 1000\r\n\r\n"
    + bytes(9)
)


@contextmanager
def uploading(client: httpx.Client) -> Iterator[socket.socket]:
    """A request whose body never ends: as long as nobody answers, an ingress has it."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=PATIENCE_S) as connection:
        connection.sendall(HALF)
        yield connection


@pytest.mark.slow
@pytest.mark.parametrize("deployment", ["Host", "Ingress"])
def test_only_what_was_in_flight_on_a_killed_replica_is_lost_and_another_takes_over(
    asking: Any, client: httpx.Client, wait_until: Any, replicas: Callable[[str], list[int]], deployment: str
) -> None:
    (old,) = replicas(deployment)
    with uploading(client) as upload, asking(CLIENTS, PATIENCE_S) as heard:
        wait_until(lambda: len(heard) > 5 * CLIENTS, PATIENCE_S)
        killed_s = time.monotonic()
        os.kill(old, signal.SIGKILL)
        if deployment == "Ingress":
            answer = http.client.HTTPResponse(upload)
            answer.begin()
            assert_may_be_sent_again(answer.status, answer.headers)
        wait_until(lambda: sum(one.began_s > killed_s and one.status == 200 for one in heard) > 5 * CLIENTS, PATIENCE_S)
    lost = [one for one in heard if one.status != 200]
    assert all(one.began_s < killed_s < one.ended_s for one in lost)
    for one in lost:
        assert one.response is not None
        assert_may_be_sent_again(one.status, one.response.headers)
    (new,) = replicas(deployment)
    assert new != old


def assert_may_be_sent_again(status: int, headers: Any) -> None:
    assert status == 503
    assert headers["content-type"] == "application/problem+json"
    assert int(headers["retry-after"]) > 0
