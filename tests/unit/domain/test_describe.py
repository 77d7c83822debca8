"""What a shard's domain looks like is found out once, from its own frames, and kept."""

from dataclasses import replace

import numpy as np
import pytest

from training.data.annotations import FrameLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.domain.describe import MAX_FRAMES, MAX_SPREAD, MIN_SPREAD, describe, describe_missing, spread
from training.errors import BadInput, UnknownShard
from training.models.eye import Eye
from training.store.descriptors import Descriptor
from training.store.store import Store


def on_a_circle(degrees: list[float]) -> np.ndarray:
    angle_K = np.radians(degrees)
    return np.stack([np.cos(angle_K), np.sin(angle_K)], axis=1).astype(np.float32)


def test_the_labelled_frames_are_among_those_looked_at(shards: dict[str, Shard], eye: Eye) -> None:
    found = describe(shards["pond"], eye, labelled=[1, 30])
    assert {1, 30} <= set(found.frames_K.tolist())
    assert len(found.frames_K) <= MAX_FRAMES
    assert found.seen_KD.shape == (len(found.frames_K), eye.num_features)


def test_many_labels_do_not_make_a_descriptor_larger(shards: dict[str, Shard], eye: Eye) -> None:
    assert len(describe(shards["pond"], eye, labelled=range(32)).frames_K) == MAX_FRAMES


def test_the_spread_is_the_distance_of_ordinary_neighbours() -> None:
    ten_degrees = 2 * np.sin(np.radians(10) / 2)
    assert spread(on_a_circle([0, 10, 20, 30, 40])) == pytest.approx(ten_degrees, rel=1e-3)


def test_one_frame_unlike_all_others_does_not_widen_a_domain() -> None:
    ten_degrees = 2 * np.sin(np.radians(10) / 2)
    assert spread(on_a_circle([*range(0, 120, 10), 300])) == pytest.approx(ten_degrees, rel=1e-3)


@pytest.mark.parametrize("degrees", [[0.0], [0.0, 0.0, 0.0]])
def test_a_camera_that_never_moves_has_the_least_spread(degrees: list[float]) -> None:
    assert spread(on_a_circle(degrees)) == MIN_SPREAD


def test_frames_that_have_nothing_in_common_do_not_make_a_domain_of_everything() -> None:
    assert spread(on_a_circle([0, 60, 120, 180])) == MAX_SPREAD


def test_only_what_is_missing_is_described_and_kept(store: Store, shards: dict[str, Shard], eye: Eye) -> None:
    for shard in shards.values():
        store.add_shard(shard)
    assert [one.shard_id for one in describe_missing(store, eye, ["pond"]) if isinstance(one, Descriptor)] == ["pond"]
    assert [one.shard_id for one in describe_missing(store, eye, shards) if isinstance(one, Descriptor)] == ["road"]
    assert list(describe_missing(store, eye, shards)) == []
    assert store.descriptors.shard_ids(eye.identity) == ["pond", "road"]


def test_frames_that_people_labelled_are_looked_at(store: Store, shards: dict[str, Shard], eye: Eye) -> None:
    store.add_shard(shards["pond"])
    store.add_ontology(Ontology(name="ducks", task="detection", classes=("duck",)))
    store.annotate("pond", "ducks", [FrameLabels(shard_id="pond", frame_index=29, annotations=())])
    unlabelled = describe(shards["pond"], eye)
    (found,) = describe_missing(store, eye, ["pond"])
    assert isinstance(found, Descriptor)
    assert 29 in found.frames_K
    assert 29 not in unlabelled.frames_K


def test_a_shard_that_cannot_be_read_says_why_and_stops_nobody(store: Store, shards: dict[str, Shard], eye: Eye) -> None:
    store.add_shard(replace(shards["pond"], shard_id="gone", uri="/nowhere/gone.mp4"))
    store.add_shard(shards["road"])
    failure, found = describe_missing(store, eye, ["gone", "road"])
    assert isinstance(failure, BadInput)
    assert "gone.mp4" in str(failure)
    assert isinstance(found, Descriptor)
    assert store.descriptors.shard_ids(eye.identity) == ["road"]


def test_a_shard_that_is_not_in_the_store_is_an_error(store: Store, eye: Eye) -> None:
    with pytest.raises(UnknownShard):
        list(describe_missing(store, eye, ["nobody"]))
