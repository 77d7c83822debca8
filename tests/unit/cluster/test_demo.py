"""The demonstration's own parts, without Ray: what it may replace, and what it shows."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from cluster.demo import run_demo
from cluster.demo_pictures import pictures_of
from training.data.coco import read_coco
from training.data.sources import probe
from training.data.world import draw_scene, draw_video
from training.errors import BadInput
from training.store.card import Card
from training.store.store import Store


def _entered(tmp_path: Path, name: str, by_hand: list[int]) -> tuple[Store, dict[str, Any]]:
    """A store with one shard, some of it labelled by hand, and the whole truth as its predictions."""
    source = tmp_path / "world" / name
    store = Store.create(str(tmp_path / "store"))
    shard = probe(str(source), tile=64, stride=64)
    ontology, truth = read_coco(source.with_suffix(".coco.json"), shard).labels["detection"]
    store.add_shard(shard)
    store.add_ontology(ontology)
    store.annotate(shard.shard_id, ontology.name, [frame for frame in truth if frame.frame_index in by_hand])
    store.predictions.write(shard.shard_id, ontology.name, 1, 0, shard.num_frames, truth)
    return store, {
        "shards": [{"shard_id": shard.shard_id, "task": "detection", "generations": [{"generation": 1, "live": True}]}]
    }


def test_a_directory_that_holds_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.txt").write_text("do not delete")
    with pytest.raises(BadInput, match=r"holds store.*needed an empty directory"):
        run_demo(
            tmp_path, labels=5, recipe=cast(Any, None), backbone=cast(Any, None), seed=0, num_workers=1, say=lambda line: None
        )
    assert (tmp_path / "store" / "thesis.txt").read_text() == "do not delete"
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_frames_of_a_video_are_spread_and_one_that_was_labelled_by_hand_is_among_them(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    draw_video(tmp_path / "world" / "pond.mp4", seed=0, num_frames=20, width=160, height=96)
    store, result = _entered(tmp_path, "pond.mp4", by_hand=[2, 11, 18])
    pictures = pictures_of(store, result, tmp_path / "world")["pond", "detection"]
    assert [picture.caption for picture in pictures if picture.by_hand] == ["frame 11"]
    assert [pictures[0].caption, pictures[-1].caption] == ["frame 0", "frame 19"]
    assert len(pictures) == 8
    assert all([one.bbox_xyxy for one in picture.truth] == [one.bbox_xyxy for one in picture.machine] for picture in pictures)


def test_a_scene_is_put_together_again_from_its_tiles(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    document = draw_scene(tmp_path / "world" / "town.png", seed=0, width=160, height=130)
    store, result = _entered(tmp_path, "town.png", by_hand=[0, 1])
    (picture,) = pictures_of(store, result, tmp_path / "world")["town", "detection"]
    with Image.open(tmp_path / "world" / "town.png") as whole:
        assert np.array_equal(picture.image_HW3, np.asarray(whole))
    drawn = sorted((x, y, x + width, y + height) for x, y, width, height in (one["bbox"] for one in document["annotations"]))
    assert sorted(one.bbox_xyxy for one in picture.truth if one.bbox_xyxy) == drawn
    assert picture.caption == "the whole scene; 2 of its 9 tiles were labelled by hand"


def _published(store: Store, shard_id: str, generation: int) -> None:
    """So many generations, the last of them live."""
    (ontology,) = store.ontologies()
    card = Card(shard_id=shard_id, ontology=ontology.name, task="detection", classes=ontology.classes)
    numbers = [store.registry.publish(card, {"none": torch.zeros(1)}).generation for _ in range(generation)]
    store.registry.promote(shard_id, ontology.name, numbers[-1], "test")


def test_where_the_gate_refused_every_generation_the_one_that_answers_is_shown(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    draw_video(tmp_path / "world" / "pond.mp4", seed=0, num_frames=9, width=160, height=96)
    store, result = _entered(tmp_path, "pond.mp4", by_hand=[2])
    _published(store, "pond", 1)
    result["shards"][0]["generations"] = [{"generation": 2, "live": False}]
    pictures = pictures_of(store, result, tmp_path / "world")["pond", "detection"]
    assert any(picture.machine for picture in pictures)


def test_a_shard_that_cannot_be_shown_is_told_and_the_others_are_shown(tmp_path: Path) -> None:
    (tmp_path / "world").mkdir()
    for name in ("pond.mp4", "lake.mp4"):
        draw_video(tmp_path / "world" / name, seed=0, num_frames=9, width=160, height=96)
    store, lake = _entered(tmp_path, "lake.mp4", by_hand=[4])
    _, pond = _entered(tmp_path, "pond.mp4", by_hand=[2])
    pond["shards"][0]["generations"][0]["live"] = False
    torn = {**lake["shards"][0], "task": "keypoints"}
    told: list[str] = []
    pictures = pictures_of(store, {"shards": [*pond["shards"], torn, *lake["shards"]]}, tmp_path / "world", say=told.append)
    assert list(pictures) == [("lake", "detection")]
    assert len(pictures["lake", "detection"]) == 8
    first, second = told
    assert first.startswith("pond detection: no pictures, UnknownModel: pond ")
    assert second.startswith("lake keypoints: no pictures, BadInput: ")


def test_a_scene_larger_than_the_page_takes_is_made_smaller_tile_by_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "world").mkdir()
    document = draw_scene(tmp_path / "world" / "town.png", seed=0, width=160, height=130)
    store, result = _entered(tmp_path, "town.png", by_hand=[0, 1])
    monkeypatch.setattr("cluster.demo_pictures.MAX_SIDE", 75)
    (picture,) = pictures_of(store, result, tmp_path / "world")["town", "detection"]
    assert picture.image_HW3.shape == (61, 75, 3)
    assert picture.size_wh == (160, 130)
    with Image.open(tmp_path / "world" / "town.png") as whole:
        expected = np.asarray(whole.convert("RGB").resize((75, 61), Image.Resampling.BOX)).astype(float)
    assert np.abs(picture.image_HW3 - expected).mean() < 6
    boxes = [[x, y, x + width, y + height] for x, y, width, height in (one["bbox"] for one in document["annotations"])]
    assert sorted(list(one.bbox_xyxy) for one in picture.machine if one.bbox_xyxy) == sorted(boxes)
    assert picture.caption == "the whole scene, 160x130 pixels made smaller; 2 of its 9 tiles were labelled by hand"
