"""Label Studio's protocol through a real proxy, ingress and host: a fitted micro-model proposes, a person's answer is kept."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from training.data.sources import probe

CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="boxes" toName="image"><Label value="square"/>'
    "</RectangleLabels></View>"
)
NAME = "detection.square"


@pytest.fixture
def lane(world: Any, tmp_path: Path) -> Any:
    """A store in which `lane` has the frames of `gate` and its micro-model."""
    source, store = tmp_path / "lane", world.store
    source.mkdir()
    for index in range(8):
        (source / f"{index}.jpg").write_bytes(world.picture("gate", index))
    store.add_shard(probe(str(source), shard_id="lane"))
    world.publish_again("gate@live", shard_id="lane")
    return store


def test_a_task_is_predicted_and_its_annotation_is_kept_once(client: httpx.Client, lane: Any) -> None:
    task = {"id": 7, "data": {"image": "https://pictures.example/3.jpg", "shard_id": "lane", "frame_index": 3}}
    assert client.get("/label-studio/health").json()["status"] == "UP"
    version = client.post("/label-studio/setup", json={"project": "1.2", "schema": CONFIG}).json()["model_version"]
    answer = client.post("/label-studio/predict", json={"tasks": [task], "label_config": CONFIG, "params": {"context": None}})
    (said,) = answer.json()["results"]
    assert said["model_version"] == version
    (region,) = said["result"]
    corner = [region["value"][name] for name in ("x", "y", "width", "height")]
    assert corner == pytest.approx([100 * 28 / 96, 100 * 17 / 64, 25, 37.5], abs=5)
    annotation = {"id": 1, "unique_id": "u", "task": 7, "result": said["result"], "updated_at": "2026-01-02T03:04:05Z"}
    body = {"action": "ANNOTATION_CREATED", "annotation": annotation, "task": task, "project": {"id": 1, "label_config": CONFIG}}
    counts = [client.post("/label-studio/webhook", json=body).json() for _ in range(2)]
    assert [(one["recorded"], one["known"]) for one in counts] == [(1, 0), (0, 1)]
    assert [(one.frame_index, len(one.annotations)) for one in lane.labels("lane", NAME)] == [(3, 1)]
