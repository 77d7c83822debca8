"""Micro-models ready in memory that share a trunk: what is counted, loaded once, and let go of."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from training.data.ontology import Ontology
from training.errors import UnknownModel, WrongShape
from training.models.backbones import empty_trunk
from training.models.bank import Bank
from training.models.bases import own_tensors
from training.models.cache import CacheCounts, ModelCache
from training.models.micro_model import MicroModel
from training.models.network import DenseConfig, DenseNetwork
from training.store.bases import Base
from training.store.card import Card
from training.store.local import LocalObjects
from training.store.store import Store

BACKBONE = "mobilenet_v3_small"
ONTOLOGY = Ontology(name="things", task="detection", classes=("thing",))
CONFIG = DenseConfig(backbone=BACKBONE, scale=1.0, output_stride=8, neck_channels=8, branches={"heat": 1, "box": 4})


class SlowReads(LocalObjects):
    """Objects that count what is read, and wait for as many readers as `together` says before they give anything."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.reads: Counter[str] = Counter()
        self.together = threading.Barrier(1)

    def read(self, key: str) -> bytes:
        self.reads[key] += 1
        if key.endswith("weights.safetensors"):
            self.together.wait(10)
        return super().read(key)


@pytest.fixture
def objects(tmp_path: Path) -> SlowReads:
    return SlowReads(Store.create(str(tmp_path / "store")).url)


@pytest.fixture
def cards(objects: SlowReads) -> list[Card]:
    """Four that keep their head alone, two of them their norms too, and one that is whole."""
    registry = Store(objects).registry
    torch.manual_seed(0)
    trunk = empty_trunk(BACKBONE)
    base = Base.of(BACKBONE, {name: x.clone() for name, x in trunk.state_dict().items()})
    published = []
    for number in range(7):
        trunk.load_state_dict(base.tensors)
        network = DenseNetwork(trunk, CONFIG).eval()
        for module in network.modules():
            if number in (4, 5) and isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
            if number == 6 and isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight)
        model = MicroModel(shard_id=f"shard-{number}", ontology=ONTOLOGY, network=network, decoding={})
        own = own_tensors(CONFIG, model.tensors(), base)
        assert (own is None) == (number == 6)
        what: dict[str, Any] = {"shard_id": model.shard_id, "ontology": "things", "task": "detection", "classes": ("thing",)}
        card = Card(**what, network=model.to_json())
        published.append(registry.publish(card, own or model.tensors(), base if own else None))
    return published


def test_a_shared_trunk_is_counted_once_and_goes_with_the_last_who_sees_through_it(objects: SlowReads, cards: list[Card]) -> None:
    cache = ModelCache(Store(objects).registry, 10**9)
    heads = [cache.get(card) for card in cards[:4]]
    head, with_trunk = heads[0].num_bytes, cache.num_bytes
    trunk = with_trunk - 4 * head
    assert 2 * head < trunk, "of which each has none"
    small = ModelCache(Store(objects).registry, trunk + 2 * head)
    for card in cards[:4]:
        small.get(card)
    assert small.num_bytes == trunk + 2 * head
    whole = small.get(cards[6])
    assert small.num_bytes == whole.num_bytes, "the trunk went with its last head"


def test_a_trunk_is_read_once_and_made_ready_once_for_each_way_of_seeing_through_it(
    objects: SlowReads, cards: list[Card]
) -> None:
    cache = ModelCache(Store(objects).registry, 10**9)
    models = [cache.get(card) for card in cards]
    shared = [getattr(model.network.trunk, "shared", None) for model in models]  # type: ignore[union-attr]
    assert len(set(map(id, shared[:4]))) == len(set(map(id, shared[4:6]))) == 1
    assert shared[0] is not shared[4]
    assert shared[6] is None
    assert sum(count for key, count in objects.reads.items() if key.startswith("backbones/")) == 1


def test_a_bundle_is_loaded_with_several_reads_under_way_and_each_once(objects: SlowReads, cards: list[Card]) -> None:
    cache = ModelCache(Store(objects).registry, 10**9)
    objects.reads.clear()
    objects.together = threading.Barrier(len(cards))  # breaks unless all are read at once
    assert cache.prefetch(cards) == {}
    assert set(objects.reads.values()) == {1}
    objects.together = threading.Barrier(2)  # nothing is read any more
    assert [cache.get(card).shard_id for card in cards] == [card.shard_id for card in cards]


def test_of_a_bundle_larger_than_the_cache_nothing_is_loaded_only_to_be_pushed_out_again(
    objects: SlowReads, cards: list[Card]
) -> None:
    registry = Store(objects).registry
    wholes = [registry.publish(replace(cards[6], shard_id=f"whole-{n}"), registry.load(cards[6])) for n in range(6)]
    cache = ModelCache(registry, 3 * wholes[0].num_bytes)
    cache.get(wholes[1])
    objects.reads.clear()
    cache.prefetch(wholes)
    assert (cache.counts.loads, cache.counts.evictions) == (3, 0)
    for card in wholes:
        cache.get(card)
    read = [key for key in objects.reads.elements() if key.endswith("weights.safetensors")]
    assert len(read) == len(set(read)) == 5, "all but the one that was ready, once"


def test_what_cannot_be_loaded_is_told_and_stops_nothing_else(objects: SlowReads, cards: list[Card]) -> None:
    cache = ModelCache(Store(objects).registry, 10**9)
    gone = replace(cards[0], shard_id="gone")
    failures = cache.prefetch([gone, *cards[1:3]])
    assert failures.keys() == {("gone", "things", 1)}
    assert isinstance(failures["gone", "things", 1], UnknownModel)
    before = objects.reads.copy()
    cache.prefetch(cards[1:3])
    assert objects.reads == before


def test_threads_that_load_models_of_one_trunk_in_a_small_cache_leave_the_count_right(
    objects: SlowReads, cards: list[Card]
) -> None:
    registry = Store(objects).registry
    cache = ModelCache(registry, 1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cache.get, cards * 20))
    only = ModelCache(registry, 1)
    last = cache.get(cards[5])
    assert last.num_bytes == only.get(cards[5]).num_bytes
    assert cache.num_bytes == only.num_bytes


def test_a_model_that_is_ready_is_not_moved_by_a_bank(objects: SlowReads, cards: list[Card]) -> None:
    model = ModelCache(Store(objects).registry, 10**9).get(cards[4])
    before = {name: x.data_ptr() for name, x in model.network.state_dict().items()}
    Bank([model])
    assert {name: x.data_ptr() for name, x in model.network.state_dict().items()} == before
    with pytest.raises(WrongShape, match="a bank on meta, a model ready on cpu"):
        Bank([model], "meta")


def test_the_cache_counts_what_was_there_what_was_read_and_what_had_to_go(objects: SlowReads, cards: list[Card]) -> None:
    registry = Store(objects).registry
    cache = ModelCache(registry, 10**9)
    for card in (*cards[:3], cards[0]):
        cache.get(card)
    assert (cache.counts, cache.num_models) == (CacheCounts(hits=1, misses=3, loads=3, evictions=0), 3)
    cache.prefetch([replace(cards[0], shard_id="gone")])
    assert (cache.counts.misses, cache.counts.loads) == (4, 3), "what cannot be loaded was not"
    small = ModelCache(registry, 1)
    for card in cards[:3]:
        small.get(card)
    assert (small.counts.evictions, small.num_models) == (2, 1)
