"""What a shard's domain looks like is found out once, from its own frames, and kept."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from training.data.annotations import FrameLabels
from training.data.ontology import Ontology
from training.data.shards import SceneGrid, Shard
from training.data.sources import open_frames
from training.domain.describe import MAX_FRAMES, condensed, describe, describe_each, look, undescribed, whole_tiles
from training.domain.views import KEPT, VIEWS
from training.errors import BadInput, UnknownShard
from training.store.descriptors import Descriptor
from training.store.store import Store

NOWHERE = np.empty((0, 2))


def seen_on_a_circle(degrees: list[list[float]]) -> np.ndarray:
    """Degrees of each frame in each view."""
    angle_KV = np.radians(degrees)
    return np.stack([np.cos(angle_KV), np.sin(angle_KV)], axis=2).astype(np.float32)


def chord(degrees: float) -> float:
    return float(2 * np.sin(np.radians(degrees) / 2))


def test_the_labelled_frames_are_among_those_looked_at(shards: dict[str, Shard], quick_eye: Any) -> None:
    found = describe(shards["pond"], quick_eye, labelled=[1, 30])
    assert {1, 30} <= set(found.frames_K.tolist())
    assert len(found.frames_K) <= MAX_FRAMES
    assert found.seen_MD.shape == (KEPT * len(found.frames_K), quick_eye.num_features)
    assert found.own_VK.shape == (len(VIEWS), len(found.frames_K))
    assert found.ring_P2.shape == (0, 2)


def test_many_labels_do_not_make_a_descriptor_larger(shards: dict[str, Shard], quick_eye: Any) -> None:
    assert len(describe(shards["pond"], quick_eye, labelled=range(32)).frames_K) == MAX_FRAMES


def test_a_descriptor_has_what_the_frames_look_like(shards: dict[str, Shard], quick_eye: Any) -> None:
    found = describe(shards["pond"], quick_eye)
    with open_frames(shards["pond"]) as source:
        (third,) = source.read([int(found.frames_K[2])])
    np.testing.assert_allclose(found.plain_KD[2], look(third, quick_eye)[0], atol=1e-6)


def test_own_frames_are_as_far_as_the_nearest_kept_row_of_another_frame() -> None:
    """The first two of three views are kept."""
    found = condensed("one", "circle", [4, 5, 6], seen_on_a_circle([[0, 3, 9], [10, 12, 50], [20, 24, 29]]), ring_P2=NOWHERE)
    expected = [[10, 7, 8], [7, 8, 12], [1, 26, 17]]  # degrees, of each view of each frame
    np.testing.assert_allclose(found.own_VK, [[chord(one) for one in row] for row in expected], atol=1e-3)
    assert len(found.seen_MD) == 6


def test_the_only_frame_is_as_far_as_its_own_views() -> None:
    found = condensed("one", "circle", [0], seen_on_a_circle([[0, 3, 9]]), ring_P2=NOWHERE)
    np.testing.assert_allclose(found.own_VK, [[0], [chord(3)], [chord(9)]], atol=1e-3)


def test_slivers_of_a_scene_are_not_looked_at_unless_there_is_nothing_else(shards: dict[str, Shard]) -> None:
    grid = SceneGrid(width=250, height=220, tile=100, stride=100, bands=(1, 2, 3), dtype="uint8")
    scene = replace(shards["pond"], kind="scene", num_frames=9, width=100, height=100, scene=grid)
    assert list(whole_tiles(scene)) == [0, 1, 3, 4]
    narrow = replace(grid, width=60, height=60)
    assert list(whole_tiles(replace(scene, num_frames=1, width=60, height=60, scene=narrow))) == [0]
    assert list(whole_tiles(shards["pond"])) == list(range(32))


def test_only_what_is_missing_is_described_and_kept(store: Store, shards: dict[str, Shard], quick_eye: Any) -> None:
    for shard in shards.values():
        store.add_shard(shard)
    assert [
        one.shard_id
        for one in describe_each(store, quick_eye, undescribed(store, quick_eye, ["pond"]))
        if isinstance(one, Descriptor)
    ] == ["pond"]
    assert [
        one.shard_id
        for one in describe_each(store, quick_eye, undescribed(store, quick_eye, shards))
        if isinstance(one, Descriptor)
    ] == ["road"]
    assert list(describe_each(store, quick_eye, undescribed(store, quick_eye, shards))) == []
    assert store.descriptors.shard_ids(quick_eye.identity) == ["pond", "road"]


def test_frames_that_people_labelled_are_looked_at(store: Store, shards: dict[str, Shard], quick_eye: Any) -> None:
    store.add_shard(shards["pond"])
    store.add_ontology(Ontology(name="ducks", task="detection", classes=("duck",)))
    unlabelled = describe(shards["pond"], quick_eye)
    left = max(set(range(32)) - set(unlabelled.frames_K.tolist()))
    store.annotate("pond", "ducks", [FrameLabels(shard_id="pond", frame_index=left, annotations=())])
    (found,) = describe_each(store, quick_eye, undescribed(store, quick_eye, ["pond"]))
    assert isinstance(found, Descriptor)
    assert left in found.frames_K
    assert left not in unlabelled.frames_K


def test_a_shard_that_cannot_be_read_says_why_and_stops_nobody(store: Store, shards: dict[str, Shard], quick_eye: Any) -> None:
    store.add_shard(replace(shards["pond"], shard_id="gone", uri="/nowhere/gone.mp4"))
    store.add_shard(shards["road"])
    failure, found = describe_each(store, quick_eye, undescribed(store, quick_eye, ["gone", "road"]))
    assert isinstance(failure, BadInput)
    assert "gone.mp4" in str(failure)
    assert isinstance(found, Descriptor)
    assert store.descriptors.shard_ids(quick_eye.identity) == ["road"]


def test_a_shard_that_is_not_in_the_store_is_an_error(store: Store, quick_eye: Any) -> None:
    with pytest.raises(UnknownShard):
        list(describe_each(store, quick_eye, undescribed(store, quick_eye, ["nobody"])))
