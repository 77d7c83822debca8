"""The loop over a real HTTP server: what waits, the picture, and what a person said."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.pictures import decode_picture
from training.data.sources import probe
from training.store.queue import QueuedFrame

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
NAME = "detection.square"


@pytest.fixture
def desk(world: Any, tmp_path: Path) -> Any:
    """A store in which generation 1 of `desk` proposes a sure and an unsure box on each of four frames, two of which wait."""
    source, store = tmp_path / "desk", world.store
    source.mkdir()
    for index in range(4):
        (source / f"{index}.jpg").write_bytes(world.picture("gate", index))
    store.add_shard(probe(str(source), shard_id="desk"))
    said = [
        Annotation(class_name="square", bbox_xyxy=(x, 10.0, x + 20.0, 30.0), provenance="model", score=x / 50) for x in (10, 40)
    ]
    frames = [FrameLabels(shard_id="desk", frame_index=index, annotations=tuple(said)) for index in range(4)]
    store.predictions.write("desk", NAME, 1, 0, 4, frames)
    waiting = QueuedFrame(
        shard_id="desk", ontology=NAME, frame_index=2, kind="review", generation=1, costs_s=8.7, why="low scores"
    )
    store.queue.replace([waiting, replace(waiting, frame_index=1, kind="audit", generation=None)])
    return store


def test_the_documented_client_finds_what_waits_and_what_it_says_is_kept(
    client: httpx.Client, desk: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## People in the loop")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    monkeypatch.setattr(sys, "argv", ["client.py", str(client.base_url)])
    exec(compile(code, "client.py", "exec"), {})
    assert capsys.readouterr().out == "desk 2 True {'draw': 0, 'delete': 1, 'adjust': 0, 'confirm': 1}\n"
    (labels,) = desk.labels("desk", NAME)
    assert (labels.frame_index, [one.author for one in labels.annotations]) == (2, ["example"])
    (left,) = client.get("/v1/queue").json()["frames"]
    assert (left["kind"], left["frame_index"], left["proposals"]) == ("audit", 1, [])
    picture = client.get(left["picture"])
    assert decode_picture(picture.content, name="picture").shape == (64, 96, 3)
