"""An assembly line over a real HTTP server, an ingress and a host."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from training.data.frames import Frame
from training.data.line_labels import LineLabels
from training.data.pictures import decode_picture
from training.data.sources import probe
from training.lines.ready import bank_of, ready_in
from training.lines.run import run_line
from training.models.cache import ModelCache

JPEG = {"content-type": "image/jpeg"}
PATIENCE_S = 30.0
STAGES = [
    {"name": "find", "model": "porch@live"},
    {"name": "look", "model": "gate@1", "input": "find", "padding": 0.5, "crop_size": "pixels"},
]


@pytest.fixture
def porch(world: Any, tmp_path: Path) -> str:
    """A line of the test's own, whose first stage is a copy of the micro-model of `gate`."""
    shard_id, source = f"porch-{tmp_path.name}", tmp_path / "porch"
    source.mkdir()
    (source / "0.jpg").write_bytes(world.picture("gate", 0))
    world.store.add_shard(probe(str(source), shard_id=shard_id))
    world.publish_again("gate@1", shard_id=shard_id)
    return shard_id


def saved(client: httpx.Client, shard_id: str, **find: Any) -> dict[str, Any]:
    stages = [{**STAGES[0], "model": f"{shard_id}@live", **find}, STAGES[1]]
    response = client.put(f"/v1/lines/{shard_id}", json={"stages": stages})
    assert response.status_code == 200, response.text
    line: dict[str, Any] = response.json()
    return line


def ask(client: httpx.Client, name: str, picture: bytes) -> httpx.Response:
    return client.post(f"/v1/lines/{name}/predict", content=picture, headers=JPEG)


def here(world: Any, name: str, picture: bytes) -> LineLabels:
    ready = ready_in(world.store, world.store.lines.get(name))
    bank = bank_of(ready, ModelCache(world.store.registry, 10**9))
    frame = Frame(shard_id="any", frame_index=0, image_HW3=decode_picture(picture, name="picture"))
    return run_line(ready, bank, [frame])[0]


def until(holds: Callable[[dict[str, Any]], bool], client: httpx.Client, name: str, picture: bytes) -> dict[str, Any]:
    """The first answer that is as it should become, else the last one."""
    end = time.monotonic() + PATIENCE_S
    while not holds(answer := ask(client, name, picture).json()) and time.monotonic() < end:
        time.sleep(0.05)
    return dict(answer)


def test_a_line_saved_over_http_answers_what_it_says_here(client: httpx.Client, world: Any, porch: str) -> None:
    assert saved(client, porch)["version"] == 1
    picture = world.picture("gate")
    response = ask(client, porch, picture)
    assert response.status_code == 200, response.text
    labels = here(world, porch, picture)
    assert set(labels.stages) == {"find", "look"}
    (image,) = response.json()["images"]
    roots = [place for place, parent in enumerate(labels.parents) if parent is None]
    assert len(image["annotations"]) == len(roots)
    for found, place in zip(image["annotations"], roots, strict=True):
        assert (found["stage"], found["model"]) == ("find", f"{porch}@1")
        assert found["bbox_xyxy"] == pytest.approx(labels.annotations[place].bbox_xyxy, abs=1e-2)
        below = [labels.annotations[child] for child, parent in enumerate(labels.parents) if parent == place]
        assert [one["model"] for one in found["children"]] == ["gate@1"] * len(below)
        for one, wanted in zip(found["children"], below, strict=True):
            assert one["bbox_xyxy"] == pytest.approx(wanted.bbox_xyxy, abs=1e-2)
            assert one["score"] == pytest.approx(wanted.score, abs=1e-4)


def test_a_new_generation_and_a_new_version_are_picked_up_without_a_restart(client: httpx.Client, world: Any, porch: str) -> None:
    saved(client, porch)
    picture = world.picture("gate")
    first = ask(client, porch, picture).json()
    assert [one["model"]["generation"] for one in first["line"]["stages"]] == [1, 1]
    world.publish_again(porch, shard_id=porch)
    second = until(lambda one: one["line"]["stages"][0]["model"]["generation"] == 2, client, porch, picture)
    assert [one["model"]["generation"] for one in second["line"]["stages"]] == [2, 1]
    assert saved(client, porch, min_score=1.0)["version"] == 2
    third = until(lambda one: one["line"]["version"] == 2, client, porch, picture)
    assert (third["line"]["version"], third["images"][0]["annotations"]) == (2, [])
    assert ask(client, f"{porch}@1", picture).json()["images"] == second["images"], "the older version can still be asked"


def test_errors_of_the_host_and_of_the_store_cross_the_deployments(client: httpx.Client, world: Any, porch: str) -> None:
    saved(client, porch)
    good = world.picture("gate")
    for response, status, kind in (
        (ask(client, porch, good[: len(good) // 2]), 422, "bad-picture"),
        (ask(client, "nobody", good), 404, "unknown-line"),
        (client.put("/v1/lines/x", json={"stages": [{"name": "find", "model": "nobody@live"}]}), 422, "bad-line"),
    ):
        assert (response.status_code, response.json()["type"]) == (status, f"urn:micromodels:{kind}")
