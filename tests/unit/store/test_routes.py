"""Rules are whole documents; nobody overwrites what somebody else saved without seeing it."""

import pytest

from training.errors import ConflictingRules, StoreUnusable
from training.store.routes import SavedRules
from training.store.store import Store

RULE = {"name": "night", "shard_id": "door", "sensor": "cam-1"}


def test_a_store_without_rules_has_none(store: Store) -> None:
    assert store.routes.read() == SavedRules()


def test_the_newest_document_counts_and_the_older_ones_stay(store: Store) -> None:
    assert store.routes.replace([RULE]) == 1
    assert store.routes.replace([]) == 2
    newest = store.routes.read()
    assert (newest.number, newest.rules) == (2, ())
    assert store.objects.children("routes/") == ["0001.json", "0002.json"]


def test_rules_that_replace_others_than_the_newest_are_refused(store: Store) -> None:
    assert store.routes.replace([RULE], number=0) == 1
    with pytest.raises(ConflictingRules, match="rules 0 were to be replaced, the newest are 1"):
        store.routes.replace([], number=0)
    with pytest.raises(ConflictingRules):
        store.routes.replace([], number=7)
    assert store.routes.read().number == 1
    assert store.routes.replace([], number=1) == 2


def test_who_loses_a_race_for_the_next_number_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.routes.replace([RULE], number=0)
    monkeypatch.setattr("training.store.routes.newest", lambda *_: 0)  # as it was before the other one was faster
    with pytest.raises(ConflictingRules, match="the newest are 1"):
        store.routes.replace([], number=0)


def test_a_document_of_something_else_is_named(store: Store) -> None:
    store.objects.create("routes/0001.json", b'{"rules": "all"}')
    with pytest.raises(StoreUnusable, match=r"routes/0001\.json"):
        store.routes.read()
