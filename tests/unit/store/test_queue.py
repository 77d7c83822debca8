"""The queue that `next` leaves: whole documents, of which the newest counts."""

import json
from typing import Any

import pytest

from training.errors import StoreUnusable
from training.store.queue import QueuedFrame
from training.store.store import Store


def frame(index: int, **values: Any) -> QueuedFrame:
    given = {"shard_id": "dog", "ontology": "dogs", "kind": "labels", "costs_s": 7.0, "why": "no labels yet"}
    return QueuedFrame(frame_index=index, **{**given, **values})


def test_the_newest_queue_counts_and_older_ones_stay_readable(store: Store) -> None:
    assert (store.queue.read().number, store.queue.read().frames) == (0, ())
    assert store.queue.replace([frame(1), frame(2)]) == 1
    assert store.queue.replace([frame(3, kind="review", generation=4), frame(1, ontology=None)]) == 2
    queued = Store.open(store.url).queue.read()
    assert queued.frames == (frame(3, kind="review", generation=4), frame(1, ontology=None))
    assert queued.made_at is not None
    assert json.loads(store.objects.read("queue/0001.json"))["frames"][1]["frame_index"] == 2


def test_a_key_of_a_newer_version_is_ignored(store: Store) -> None:
    store.queue.replace([frame(1)])
    document = json.loads(store.objects.read("queue/0001.json"))
    document["frames"][0]["mood"] = "hopeful"
    store.objects.create("queue/0002.json", json.dumps(document).encode())
    assert store.queue.read().frames == (frame(1),)


@pytest.mark.parametrize("wrong", [{"kind": "guess"}, {"shard_id": "../dog"}, {"ontology": "a/b"}, {"frame_index": None}])
def test_a_queue_that_is_none_is_named(store: Store, wrong: dict[str, Any]) -> None:
    store.queue.replace([frame(1)])
    document = json.loads(store.objects.read("queue/0001.json"))
    document["frames"][0] = {name: value for name, value in (document["frames"][0] | wrong).items() if value is not None}
    store.objects.create("queue/0002.json", json.dumps(document).encode())
    with pytest.raises(StoreUnusable, match=r"queue/0002\.json"):
        store.queue.read()
