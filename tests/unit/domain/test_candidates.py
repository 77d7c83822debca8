"""Live shards that are described may answer; the place, the ontology and the looks say which of them does."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.domain.candidates import CandidateReader, Candidates, Chosen
from training.domain.nearest import Abstention, Domains, Near
from training.store.card import Card
from training.store.descriptors import Descriptor
from training.store.store import Store

OnACircle = Callable[..., Descriptor]
SQUARE = np.array([[9, 53], [10, 53], [10, 54], [9, 54]], np.float64)


def at(degrees: float) -> Callable[[], NDArray[np.float32]]:
    return lambda: np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)


def nobody_looks() -> NDArray[np.float32]:
    raise AssertionError("the place was enough")


@pytest.fixture
def candidates(on_a_circle: OnACircle) -> Candidates:
    """A video at 0 degrees, three scenes at 90, 91 and 180; `east` and `copy` lie in the same square, `west` next to it."""
    east = replace(on_a_circle("east", 90), ring_P2=SQUARE)
    copy = replace(on_a_circle("copy", 98), ring_P2=SQUARE)
    west = replace(on_a_circle("west", 180), ring_P2=SQUARE - [1, 0])
    live = {"video": ("cars", "people"), "east": ("trees",), "copy": ("trees",), "west": ("trees",), "new": ("cars",)}
    return Candidates(Domains("circle", [on_a_circle("video", 0), east, copy, west]), live)


def test_the_only_scene_around_a_place_answers_and_nobody_looks(candidates: Candidates) -> None:
    assert candidates.choose(nobody_looks, place=(8.5, 53.5)) == Chosen(shard_id="west", ontology="trees")


def test_of_several_scenes_around_a_place_the_looks_choose(candidates: Candidates) -> None:
    chosen = candidates.choose(at(97), place=(9.5, 53.5))
    assert isinstance(chosen, Chosen)
    assert (chosen.shard_id, chosen.next.shard_id if chosen.next else None) == ("copy", "east")


def test_away_from_every_scene_no_scene_is_meant(candidates: Candidates) -> None:
    answer = candidates.choose(at(90), place=(0.0, 0.0))
    assert isinstance(answer, Abstention)
    assert answer.reason == "outside"
    assert [near.shard_id for near in answer.nearest] == ["video"]


def test_without_a_place_the_looks_choose_among_all(candidates: Candidates) -> None:
    chosen = candidates.choose(at(180.5))
    assert isinstance(chosen, Chosen)
    assert (chosen.shard_id, chosen.ontology) == ("west", "trees")
    assert chosen.distance == pytest.approx(2 * np.sin(np.radians(0.25)) / 0.1, rel=1e-3)


def test_a_shard_with_several_models_needs_an_ontology(candidates: Candidates) -> None:
    answer = candidates.choose(at(0))
    assert isinstance(answer, Abstention)
    assert (answer.reason, answer.ontologies) == ("several-models", ("cars", "people"))
    assert answer.nearest[0] == Near(shard_id="video", distance=pytest.approx(0, abs=1e-3))
    chosen = candidates.choose(at(0), ontology="people")
    assert isinstance(chosen, Chosen)
    assert (chosen.shard_id, chosen.ontology) == ("video", "people")


def test_only_shards_with_models_of_the_ontology_are_compared(candidates: Candidates) -> None:
    answer = candidates.choose(at(90), ontology="cars")
    assert isinstance(answer, Abstention)
    assert [near.shard_id for near in answer.nearest] == ["video"]
    assert candidates.choose(nobody_looks, ontology="boats") == Abstention(reason="no-domains")


def test_live_shards_that_nobody_described_are_known(candidates: Candidates) -> None:
    assert candidates.undescribed == ("new",)


def publish(store: Store, shard_id: str, *, live: bool = True) -> None:
    card = Card(shard_id=shard_id, ontology="cars", task="detection", classes=("car",), fit_key="x")
    published = store.registry.publish(card, {"w": torch.zeros(1)})
    if live:
        store.registry.promote(shard_id, "cars", published.generation, "test")


def test_live_and_described_shards_are_candidates_and_what_is_new_is_noticed(store: Store, on_a_circle: OnACircle) -> None:
    for shard_id in ("old", "waiting", "bare"):
        publish(store, shard_id, live=shard_id != "waiting")
    for number, shard_id in enumerate(("old", "waiting", "unfitted")):
        store.descriptors.add(on_a_circle(shard_id, 40 * number))
    reader = CandidateReader(store, "circle")
    first = reader.read()
    assert (first.domains.shard_ids, first.undescribed) == (("old",), ("bare",))
    assert reader.read().domains is first.domains  # nothing new, nothing made again
    store.registry.promote("waiting", "cars", 1, "test")
    store.descriptors.add(on_a_circle("bare", 120))
    second = reader.read()
    assert (second.domains.shard_ids, second.undescribed) == (("bare", "old", "waiting"), ())


def test_every_descriptor_is_read_once(store: Store, on_a_circle: OnACircle, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(store, "one")
    store.descriptors.add(on_a_circle("one", 0))
    reader, read = CandidateReader(store, "circle"), []
    get = store.descriptors.get
    monkeypatch.setattr(store.descriptors, "get", lambda *asked: read.append(asked) or get(*asked))
    assert [reader.read().domains.shard_ids for _ in range(3)] == [("one",)] * 3
    assert read == [("circle", "one")]


def test_a_damaged_descriptor_is_said_and_stops_no_other(
    store: Store, on_a_circle: OnACircle, caplog: pytest.LogCaptureFixture
) -> None:
    for shard_id in ("good", "bad"):
        publish(store, shard_id)
    store.descriptors.add(on_a_circle("good", 0))
    store.objects.create("domains/circle/bad.safetensors", b"not tensors")
    reader: Any = CandidateReader(store, "circle")
    with caplog.at_level(logging.WARNING):
        found = [reader.read() for _ in range(2)][-1]
    assert (found.domains.shard_ids, found.undescribed) == (("good",), ("bad",))
    assert [record.getMessage().split(" error")[0] for record in caplog.records] == ["descriptor unusable shard_id=bad"]
