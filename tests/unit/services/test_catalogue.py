from collections.abc import Callable
from typing import Any

import pytest
import torch

from services.catalogue import Catalogue, reference
from training.errors import BadRequest, BadShardId
from training.store.store import Store


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def publish_second(store: Store, make_card: Callable[..., Any]) -> None:
    published = store.registry.publish(make_card("garden", fit_key="second"), {"w": torch.ones(3)})
    store.registry.promote("garden", published.ontology, published.generation, "better")


def test_live_is_remembered_for_its_time_and_then_asked_again(store: Store, make_card: Callable[..., Any]) -> None:
    clock = Clock()
    catalogue = Catalogue(store, ttl_s=2, clock=clock)
    wanted = reference("garden", "live", None)
    assert catalogue.resolve(wanted).generation == 1
    assert catalogue.page(after="", limit=1)[0][0].generation == 1
    publish_second(store, make_card)
    clock.now += 1.9
    assert catalogue.resolve(wanted).generation == 1
    clock.now += 0.2
    assert catalogue.resolve(wanted).generation == 2
    assert catalogue.page(after="", limit=1)[0][0].generation == 2


def test_asked_again_it_lists_what_is_live_and_reads_nothing_that_it_has_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, make_card: Callable[..., Any]
) -> None:
    read, reads = store.objects.read, list[str]()
    monkeypatch.setattr(store.objects, "read", lambda key: (reads.append(key), read(key))[1])
    catalogue = Catalogue(store, ttl_s=0)
    for _ in range(3):
        assert catalogue.resolve(("garden", None)).generation == 1
        assert catalogue.page(after="", limit=1)[0][0].generation == 1
    assert len(reads) == len(set(reads))
    publish_second(store, make_card)
    reads.clear()
    for _ in range(3):
        assert catalogue.resolve(("garden", None)).generation == 2
    assert [key.rpartition("/")[2] for key in reads] == ["0002.json", "card.json"]


def test_what_is_remembered_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.catalogue.MAX_REMEMBERED", 1)
    catalogue = Catalogue(store, ttl_s=60)
    for shard_id in ("garden", "hall", "garden"):
        assert catalogue.resolve((shard_id, None)).shard_id == shard_id
    assert len(catalogue._remembered) == 1


@pytest.mark.parametrize(
    ("shard_id", "generation", "wanted"),
    [("a", "live", "a@live"), ("a", "3", "a@3"), ("a@3", "live", "a@3"), ("a@live", "live", "a@live"), ("a@3", "3", "a@3")],
)
def test_path_and_query_make_one_reference(shard_id: str, generation: str, wanted: str) -> None:
    assert reference(shard_id, generation, "o") == (wanted, "o")


def test_contradictions_and_names_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadRequest, match="path says generation 3, the query 4"):
        reference("a@3", "4", None)
    with pytest.raises(BadShardId):
        reference("../a", "live", None)
    with pytest.raises(BadShardId):
        reference("a", "live", "../../b")
