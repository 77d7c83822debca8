"""Rules lead somewhere when they are saved, and come back as they were."""

from typing import Any

import pytest
import torch

from training.data.ontology import Ontology
from training.data.shards import Shard
from training.domain.rules import Rules
from training.domain.saved_rules import read_rules, save_rules
from training.errors import ConflictingRules, StoreUnusable, UnknownModel, UnknownOntology, UnknownShard
from training.store.card import Card
from training.store.store import Store


@pytest.fixture
def pond(store: Store, shards: dict[str, Shard]) -> Store:
    store.add_shard(shards["pond"])
    store.add_ontology(Ontology(name="ducks", task="detection", classes=("duck",)))
    store.registry.publish(Card(shard_id="pond", ontology="ducks", task="detection", classes=("duck",)), {"w": torch.zeros(1)})
    return store


def rules(**values: Any) -> Rules:
    return Rules.from_json([{"name": "water", "shard_id": "pond", "video": "pond*", **values}])


def test_a_store_without_rules_has_none(store: Store) -> None:
    assert read_rules(store) == Rules()


def test_saved_rules_come_back_under_their_number(pond: Store) -> None:
    saved = save_rules(pond, rules(shard_id="pond@1", ontology="ducks", daily=["08:00/20:00"], zone="Europe/Berlin"))
    assert saved == read_rules(Store.open(pond.url))
    assert (saved.number, saved.rules[0].shard_id) == (1, "pond@1")
    assert saved.saved_at is not None
    assert save_rules(pond, Rules()).number == 2
    assert read_rules(pond).rules == ()


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"shard_id": "nobody"}, UnknownShard),
        ({"ontology": "geese"}, UnknownOntology),
        ({"shard_id": "pond@2"}, UnknownModel),
        ({"shard_id": "pond@2", "ontology": "ducks"}, UnknownModel),
    ],
)
def test_a_rule_that_leads_nowhere_is_refused_and_nothing_is_saved(
    pond: Store, values: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        save_rules(pond, rules(**values))
    assert read_rules(pond).number == 0


def test_a_rule_may_be_there_before_its_model(store: Store, shards: dict[str, Shard]) -> None:
    store.add_shard(shards["road"])
    assert save_rules(store, rules(shard_id="road")).number == 1


def test_who_replaces_others_than_the_newest_is_told(pond: Store) -> None:
    save_rules(pond, rules(), replaces=0)
    with pytest.raises(ConflictingRules):
        save_rules(pond, rules(video="x"), replaces=0)
    assert read_rules(pond).rules[0].video == "pond*"


def test_rules_of_a_store_that_cannot_be_are_named(pond: Store) -> None:
    pond.objects.create("routes/0001.json", b'{"rules": [{"name": "water", "shard_id": "pond"}]}')
    with pytest.raises(StoreUnusable, match=r"routes/0001\.json: rule water: no condition"):
        read_rules(pond)
