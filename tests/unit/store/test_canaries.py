"""Trials of generations in a store: one at a time, whoever starts or ends them."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from training.errors import BadInput, ConflictingCanary, StoreUnusable, UnknownModel
from training.store.canaries import Canary, CanaryLimits
from training.store.store import Store

MODEL = ("dog", "detection.dog")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(str(tmp_path / "store"))


def canary(**more: Any) -> Canary:
    return Canary(**{"shard_id": MODEL[0], "ontology": MODEL[1], "generation": 3, "against": 2, "share": 0.1, **more})


def test_a_trial_of_a_newer_version_is_read_and_a_damaged_one_is_named(store: Store) -> None:
    started = store.registry.canaries.start(canary())
    (path,) = (Path(store.url) / "models").rglob("canary/0001.json")
    document = json.loads(path.read_text())
    document["limits"]["more_of_something"] = 1
    path.write_text(json.dumps(document | {"since_then": "new"}))
    assert store.registry.canaries.running() == [started]
    del document["against"]
    path.write_text(json.dumps(document))
    with pytest.raises(StoreUnusable, match=r"canary/0001.json: .*against.* needed every key"):
        store.registry.canaries.newest(*MODEL)
    other = store.registry.canaries.start(canary(shard_id="cat"))
    assert store.registry.canaries.running() == [other], "the damaged one keeps no other from running"


def outcomes(calls: list[Callable[[], Canary]]) -> list[Canary | None]:
    """What many at the same moment got; None for those who were told that another was faster."""

    def tried(call: Callable[[], Canary]) -> Canary | None:
        try:
            return call()
        except ConflictingCanary:
            return None

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(tried, calls))


def test_what_is_started_runs_until_it_is_ended_and_is_remembered(store: Store) -> None:
    canaries = store.registry.canaries
    assert (canaries.newest(*MODEL), canaries.running()) == (None, [])
    limits = CanaryLimits(min_requests=7, slower=1.5)
    started = canaries.start(canary(limits=limits, started_by="ann"))
    assert (started.number, started.running, started.limits) == (1, True, limits)
    assert canaries.running() == [started] == [canaries.newest(*MODEL)]
    ended = canaries.end(started, "rolled-back", "it fails", figures={"compared": 3})
    assert canaries.running() == []
    assert canaries.newest(*MODEL) == ended
    assert (ended.number, ended.outcome, ended.reason, ended.figures) == (1, "rolled-back", "it fails", {"compared": 3})
    assert canaries.start(canary(generation=4)).number == 3, "start, end, start"


def test_of_many_who_start_a_trial_one_does(store: Store) -> None:
    got = outcomes([lambda n=n: store.registry.canaries.start(canary(started_by=str(n))) for n in range(8)])  # type: ignore[misc]
    (one,) = filter(None, got)
    assert store.registry.canaries.newest(*MODEL) == one


def test_of_many_who_end_a_trial_one_does(store: Store) -> None:
    started = store.registry.canaries.start(canary())
    got = outcomes([lambda n=n: store.registry.canaries.end(started, "rolled-back", str(n)) for n in range(8)])  # type: ignore[misc]
    (one,) = filter(None, got)
    assert store.registry.canaries.newest(*MODEL) == one
    with pytest.raises(ConflictingCanary, match="trial 1 is over"):
        store.registry.canaries.end(started, "promoted", "late")


def test_a_trial_against_a_generation_that_is_not_live_any_more_stops_no_new_one(store: Store) -> None:
    store.registry.canaries.start(canary(against=2))
    assert store.registry.canaries.start(canary(against=3, generation=4)).generation == 4
    assert [one.generation for one in store.registry.canaries.running()] == [4]
    assert [path.name for path in (Path(store.url) / "canaries").rglob("0*")] == ["0002"], "nobody reads the other's mark again"


def test_whoever_reports_again_replaces_what_it_said(store: Store) -> None:
    canaries = store.registry.canaries
    started = canaries.start(canary())
    for who, seen in (("a", 1), ("b", 5), ("a", 2)):
        canaries.report(started, who, {"seen": seen})
    assert sorted(one["seen"] for one in canaries.reports(started)) == [2, 5]
    again = canaries.start(canary(against=9))
    assert list(canaries.reports(again)) == [], "of another trial"


def test_trials_and_what_was_told_of_them_are_no_generations_and_no_live_pointers(store: Store) -> None:
    started = store.registry.canaries.start(canary())
    store.registry.canaries.report(started, "a", {})
    assert (store.registry.generations(*MODEL), store.registry.live(*MODEL), store.registry.live_models()) == ([], None, [])
    assert store.registry.ontologies("dog") == []


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(BadInput, match="needed one between 0 and 1"):
        canary(share=share)


@pytest.mark.parametrize("limits", [{"min_requests": 0}, {"slower": 0.5}, {"agreement": 1.1}, {"more_errors": -1.0}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        CanaryLimits(**limits)


def test_a_name_that_no_shard_can_have_is_unknown(store: Store) -> None:
    with pytest.raises(UnknownModel):
        store.registry.canaries.newest("../x", "y")
