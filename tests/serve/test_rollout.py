"""New code, new settings, more hosts and fewer, while clients ask without a pause: nobody is turned away."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from ray import serve

from services.app import build
from services.settings import Settings

PATIENCE_S = 240.0
Replicas = Callable[[str], list[int]]


@pytest.fixture
def deploy(client: httpx.Client, world: Any, settings: Settings) -> Iterator[Callable[..., None]]:
    """Deploy over what runs, with other settings; in the end what was there before."""

    def again(**values: Any) -> None:
        serve.run(build(settings.model_copy(update=values)), name="micromodels", route_prefix="/")

    yield again
    again()


@pytest.mark.slow
def test_no_request_fails_while_every_replica_is_replaced(
    client: httpx.Client, world: Any, replicas: Replicas, deploy: Callable[..., None], asking: Any, wait_until: Any
) -> None:
    before = {*replicas("Host"), *replicas("Ingress")}
    with asking(4, PATIENCE_S) as heard:
        wait_until(lambda: len(heard) > 20, PATIENCE_S)
        deploy(max_images=1)
        so_far = len(heard)
        wait_until(lambda: len(heard) > so_far + 20, PATIENCE_S)
    assert {one.status for one in heard} == {200}
    assert not before & {*replicas("Host"), *replicas("Ingress")}
    two = [("images", (f"{n}.jpg", world.picture("gate"), "image/jpeg")) for n in range(2)]
    assert client.post("/v1/models/gate/predict", files=two).status_code == 413, "the new settings hold"


@pytest.mark.slow
def test_hosts_come_while_requests_queue_and_go_again_and_no_request_fails(
    replicas: Replicas, deploy: Callable[..., None], asking: Any, wait_until: Any
) -> None:
    deploy(hosts=1, max_hosts=2, batch_requests=2, scale_up_after_s=0, scale_down_after_s=0)
    assert len(replicas("Host")) == 1
    with asking(10, PATIENCE_S) as heard:
        wait_until(lambda: len(replicas("Host")) == 2, PATIENCE_S)
    with asking(1, PATIENCE_S) as heard_later:
        wait_until(lambda: len(replicas("Host")) == 1, PATIENCE_S)
    assert {one.status for one in heard} == {one.status for one in heard_later} == {200}
