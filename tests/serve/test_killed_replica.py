"""A replica is killed while clients ask without a pause: what was in flight on it is lost, said so, and nothing else is."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE_S = 120.0
CLIENTS = 4


@pytest.mark.slow
@pytest.mark.parametrize("deployment", ["Host", "Ingress"])
def test_only_what_was_in_flight_on_a_killed_replica_is_lost_and_another_takes_over(
    asking: Any, wait_until: Any, replicas: Callable[[str], list[int]], deployment: str
) -> None:
    (old,) = replicas(deployment)
    with asking(CLIENTS, PATIENCE_S) as heard:
        wait_until(lambda: len(heard) > 5 * CLIENTS, PATIENCE_S)
        killed_s = time.monotonic()
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: sum(one.began_s > killed_s and one.status == 200 for one in heard) > 5 * CLIENTS, PATIENCE_S)
    lost = [one for one in heard if one.status != 200]
    assert all(one.began_s < killed_s < one.ended_s for one in lost)
    for one in lost:
        assert one.status == 503
        assert one.response.headers["content-type"] == "application/problem+json"
        assert int(one.response.headers["retry-after"]) > 0
    (new,) = replicas(deployment)
    assert new != old
