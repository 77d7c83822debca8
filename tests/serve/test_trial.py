"""A generation on trial in the whole application: some requests go to it, none fails, and it goes when it does worse."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from ray import serve

from services.app import build
from services.settings import Settings
from training.data.pictures import encode_jpeg

JPEG = {"content-type": "image/jpeg"}
PATH = "/v1/models/gate/canary"
PATIENCE_S = 240.0
Replicas = Callable[[str], list[int]]


def picture(seed: int) -> bytes:
    """A yellow square somewhere in the dark, other dark in every picture."""
    noise = np.random.default_rng(seed)
    image = noise.integers(0, 80, (64, 96, 3), np.uint8)
    x, y = int(noise.integers(4, 60)), int(noise.integers(4, 32))
    image[y : y + 24, x : x + 24] = (250, 240, 40)
    return encode_jpeg(image, 95)


@pytest.fixture
def two_ingresses(client: httpx.Client, settings: Settings) -> Iterator[httpx.Client]:
    def deploy(ingresses: int) -> None:
        changed = settings.model_copy(update={"ingresses": ingresses})
        serve.run(build(changed), name="micromodels", route_prefix="/")

    deploy(2)
    yield client
    deploy(1)


@pytest.mark.slow
def test_a_generation_that_cannot_be_loaded_is_rolled_back_by_two_ingresses_and_no_request_fails(
    two_ingresses: httpx.Client, world: Any, replicas: Replicas
) -> None:
    client, registry = two_ingresses, world.store.registry
    live = registry.resolve("gate")
    world.publish_again("yard", shard_id="gate")
    worse = registry.live("gate", live.ontology)
    registry.promote("gate", live.ontology, live.generation, "the first again")
    (weights,) = (key for key in world.store.objects.keys(f"models/gate/{live.ontology}/") if f"{worse:04d}/weights" in key)
    world.store.objects.put(weights, b"damaged")
    time.sleep(0.5)  # until both have noticed which is live
    assert len(replicas("Ingress")) == 2
    started = client.put(PATH, json={"generation": worse, "share": 0.5})
    assert (started.status_code, started.json()["state"]) == (200, "running"), started.text
    until, answered = time.monotonic() + PATIENCE_S, list[int]()
    while client.get(PATH).json()["state"] == "running":
        assert time.monotonic() < until, "waited in vain"
        response = client.post("/v1/models/gate/predict", content=picture(len(answered)), headers=JPEG)
        assert response.status_code == 200, response.text
        answered.append(response.json()["model"]["generation"])
    ended = client.get(PATH).json()
    assert (ended["state"], ended["figures"]["canary"]["error_share"]) == ("rolled-back", 1.0)
    assert set(answered) == {live.generation}
    assert registry.live("gate", live.ontology) == live.generation
