"""The whole application finds the micro-model of a picture, and says so when there is none."""

import base64
import time
from typing import Any

import httpx
import numpy as np
import pytest

from training.data.pictures import encode_jpeg
from training.domain.describe import describe_each, undescribed
from training.models.backbones import Backbone
from training.models.eye import Eye

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def described(client: httpx.Client, world: Any) -> httpx.Client:
    """Both shards are described, and the hosts have noticed."""
    eye = Eye(Backbone(weights="none"))
    list(describe_each(world.store, eye, undescribed(world.store, eye, ["gate", "yard"])))
    until = time.monotonic() + PATIENCE_S
    while (shards := ask(client, world.picture("gate")).json()["domains"]["shards"]) != 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert shards == 2
    return client


def ask(client: httpx.Client, *pictures: bytes, **sent: Any) -> httpx.Response:
    images = [base64.b64encode(picture).decode() for picture in pictures]
    response = client.post("/v1/predict", json={"images": images, **sent})
    assert response.status_code == 200, response.text
    return response


def test_pictures_of_several_shards_are_labelled_by_their_own_in_one_pass(described: httpx.Client, world: Any) -> None:
    noise = encode_jpeg(np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8))
    response = ask(described, world.picture("gate", 2), world.picture("yard", 5), noise).json()
    gate, yard, nothing = response["images"]
    assert [image["model"]["shard_id"] for image in (gate, yard)] == ["gate", "yard"]
    assert [image["route"]["by"] for image in (gate, yard)] == ["domain", "domain"]
    assert gate["route"]["distance"] <= 1
    assert gate["annotations"]
    assert nothing["abstention"]["reason"] == "outside"
    assert "annotations" not in nothing
    assert response["timings"]["batch_images"] >= 2


def test_a_saved_rule_leads_to_its_shard(described: httpx.Client, world: Any) -> None:
    rule = {"name": "all of seven", "shard_id": "yard@1", "sensor": "cam-7"}
    saved = described.request("PUT", "/v1/routes", json={"rules": [rule]})
    assert saved.status_code == 200, saved.text
    until = time.monotonic() + PATIENCE_S
    while True:
        (image,) = ask(described, world.picture("gate"), metadata={"sensor": "cam-7"}).json()["images"]
        if image["route"]["by"] == "rule" or time.monotonic() > until:
            break
        time.sleep(0.05)
    assert (image["model"]["shard_id"], image["route"]) == ("yard", {"by": "rule", "rule": "all of seven"})
