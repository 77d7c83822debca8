import json
import os
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.data.annotations import Annotation
from training.data.human_actions import HumanAction
from training.errors import BadShardId, ConflictingAction, CorruptLedger, StoreFull
from training.store.ledger import Ledger
from training.store.objects import ObjectStore, open_objects
from training.store.store import Store

FOLDER = "ledger/dog/detection/"
DRAW = HumanAction(
    event_id="e",
    action="draw",
    round_kind="labels",
    shard_id="dog",
    ontology="detection",
    frame_index=0,
    who="ann",
    when="2026-01-02T03:04:05Z",
    after=Annotation(class_name="dog", bbox_xyxy=(1.0, 2.0, 3.0, 4.0)),
)


@pytest.fixture(params=["local", "fsspec"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_objects(str(tmp_path / "root") if request.param == "local" else f"memory://{uuid.uuid4().hex}/root")


def draws(*event_ids: str, **changes: Any) -> list[HumanAction]:
    return [replace(DRAW, event_id=event_id, **changes) for event_id in event_ids]


def events(objects: ObjectStore, *of: str, **how: Any) -> list[str]:
    return [action.event_id for action in Ledger(objects).read(*of, **how)]


def test_actions_come_back_as_they_were_and_in_the_order_they_were_recorded(objects: ObjectStore) -> None:
    late, early = draws("late", when="2026-05-05T00:00:00Z"), draws("early", when="2020-01-01T00:00:00Z")  # a clock set back
    receipt = Ledger(objects).append(late)
    assert (receipt.recorded, receipt.duplicates, receipt.damage) == (1, 0, ())
    assert receipt.keys == (f"{FOLDER}0001.jsonl",)
    assert Ledger(objects).append(early).keys == (f"{FOLDER}0002.jsonl",)
    assert list(Ledger(objects).read()) == late + early


def test_nothing_to_record_is_a_receipt_for_nothing(objects: ObjectStore) -> None:
    receipt = Ledger(objects).append([])
    assert (receipt.recorded, receipt.keys) == (0, ())
    assert objects.keys("ledger/") == []
    assert list(Ledger(objects).read("dog", "detection")) == []


@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_delivered_twice_counts_once_and_is_reported(objects: ObjectStore, restarted: bool) -> None:
    ledger = Ledger(objects)
    ledger.append(draws("a", "b"))
    if restarted:
        ledger = Ledger(objects)
    again = ledger.append(draws("b", "c", "c"))
    assert (again.recorded, again.duplicates) == (1, 2)
    nothing = ledger.append(draws("a", "b", "c"))
    assert (nothing.recorded, nothing.duplicates, nothing.keys) == (0, 3, ())
    assert events(objects) == ["a", "b", "c"]


def test_an_event_that_comes_again_with_other_content_is_refused_by_name(objects: ObjectStore) -> None:
    ledger = Ledger(objects)
    ledger.append(draws("a"))
    for conflicting in (draws("new", frame_index=1) + draws("a", frame_index=1), draws("b") + draws("b", who="bob")):
        name = conflicting[-1].event_id
        with pytest.raises(ConflictingAction, match=f"dog/detection/: event '{name}' comes again as another draw of frame"):
            ledger.append(conflicting)
    assert events(objects) == ["a"]


def test_a_conflict_in_one_shard_keeps_the_others_from_being_recorded(objects: ObjectStore) -> None:
    ledger = Ledger(objects)
    ledger.append(draws("a", shard_id="zebra"))
    with pytest.raises(ConflictingAction, match="zebra"):
        ledger.append(draws("a") + draws("a", shard_id="zebra", who="bob"))
    assert len(events(objects)) == 1


def test_a_writer_that_has_not_heard_of_another_still_counts_once(objects: ObjectStore) -> None:
    one, two = Ledger(objects), Ledger(objects)
    one.append(draws("a"))
    two.append(draws("b"))
    assert one.append(draws("b", "c")).recorded == 1
    assert two.append(draws("c")).duplicates == 1
    two.append(draws("d"))
    with pytest.raises(ConflictingAction, match="'d'"):
        one.append(draws("d", who="bob") + draws("e"))
    assert events(objects) == ["a", "b", "c", "d"]


def test_each_shard_and_ontology_is_read_by_itself(objects: ObjectStore) -> None:
    receipt = Ledger(objects).append(draws("a") + draws("a", shard_id="cat") + draws("b", ontology="masks") + draws("c"))
    assert (receipt.recorded, len(receipt.keys)) == (4, 3)
    assert events(objects) == ["a", "a", "c", "b"]
    assert events(objects, "dog") == ["a", "c", "b"]
    assert events(objects, "dog", "masks") == ["b"]
    assert events(objects, "nobody") == []
    with pytest.raises(BadShardId):
        events(objects, "..")


def test_writers_in_threads_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through one ledger and through several, with foldings among them."""
    for module in ("journal", "action_log"):
        monkeypatch.setattr(f"training.store.{module}.PAGE", 4)
    objects = open_objects(str(tmp_path))
    shared = Ledger(objects)
    ledgers = [shared, shared, Ledger(objects), Ledger(objects)]

    def write(number: int) -> None:
        for turn in range(10):
            ledgers[number].append(draws(f"{number}-{turn}", "contested"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = ["contested", *(f"{number}-{turn}" for number in range(4) for turn in range(10))]
    assert sorted(events(objects)) == sorted(expected)
    assert len(objects.children(FOLDER)) == 40 // 4


def test_a_writer_that_slept_through_a_folding_goes_on_behind_it(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("journal", "action_log"):
        monkeypatch.setattr(f"training.store.{module}.PAGE", 4)
    sleeper, other = Ledger(objects), Ledger(objects)
    sleeper.append(draws("first"))
    for number in range(4):
        other.append(draws(f"o{number}"))
    assert objects.children(FOLDER) == ["0001-0004.jsonl", "0005.jsonl"]
    assert sleeper.append(draws("o1", "last")).keys == (f"{FOLDER}0006.jsonl",)
    assert events(objects) == ["first", "o0", "o1", "o2", "o3", "last"]


def test_a_folding_that_finds_no_room_is_logged_and_what_was_recorded_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in ("journal", "action_log"):
        monkeypatch.setattr(f"training.store.{module}.PAGE", 2)
    objects = open_objects(str(tmp_path))
    monkeypatch.setattr("training.store.journal.Journal.fold", _no_room)
    ledger = Ledger(objects)
    assert [ledger.append(draws(name)).recorded for name in "abc"] == [1, 1, 1]
    assert "no room here" in caplog.text
    monkeypatch.undo()
    assert events(objects) == ["a", "b", "c"]


def test_a_full_disk_is_named_and_the_same_batch_is_recorded_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = open_objects(str(tmp_path))
    ledger = Ledger(objects)
    ledger.append(draws("a"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull):
        ledger.append(draws("b"))
    monkeypatch.undo()
    assert events(objects) == ["a"]
    assert ledger.append(draws("b")).recorded == 1


def test_an_answer_that_was_lost_on_the_way_costs_nothing(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server committed, the client heard a conflict from its own second try."""
    ledger = Ledger(objects)
    create = type(objects).create

    def twice(self: Any, key: str, data: bytes) -> None:
        create(self, key, data)
        create(self, key, data)

    monkeypatch.setattr(type(objects), "create", twice)
    receipt = ledger.append(draws("a", "b"))
    assert receipt.recorded + receipt.duplicates == 2
    assert events(objects) == ["a", "b"]


def damage(objects: ObjectStore) -> bytes:
    """Cut batch 2 of three in the middle of its second record; what it was."""
    ledger = Ledger(objects)
    for batch in (("a",), ("b", "c"), ("d",)):
        ledger.append(draws(*batch))
    whole = objects.read(f"{FOLDER}0002.jsonl")
    objects.put(f"{FOLDER}0002.jsonl", whole[: len(whole) * 3 // 4])
    return whole


def test_a_truncated_ledger_is_named_and_what_is_whole_can_be_read(objects: ObjectStore) -> None:
    damage(objects)
    with pytest.raises(CorruptLedger, match="dog/detection/: batch 2 has 1 whole records, needed 2"):
        events(objects)
    told: list[str] = []
    assert events(objects, damaged=told.append) == ["a", "b", "d"]
    assert len(told) == 1


def test_a_truncated_ledger_can_be_written_says_so_and_heals_when_delivered_again(objects: ObjectStore) -> None:
    whole = damage(objects)
    receipt = Ledger(objects).append(draws("b", "c"))
    assert (receipt.recorded, receipt.duplicates) == (1, 1)
    assert "batch 2" in receipt.damage[0]
    assert sorted(events(objects, damaged=lambda _: None)) == ["a", "b", "c", "d"]
    objects.put(f"{FOLDER}0002.jsonl", whole)  # the backup was found: 'c' is there twice now
    assert events(objects) == ["a", "b", "c", "d"]


def test_a_record_that_somebody_changed_is_named(objects: ObjectStore) -> None:
    Ledger(objects).append(draws("a", "b"))
    first, second = map(json.loads, objects.read(f"{FOLDER}0001.jsonl").splitlines())
    for broken, named in (({**second, "action": "erase"}, "erase"), ({**second, "event_id": "a", "who": "bob"}, "differs")):
        objects.put(f"{FOLDER}0001.jsonl", "\n".join(json.dumps(row) for row in (first, broken)).encode())
        with pytest.raises(CorruptLedger, match=named):
            events(objects)
        assert events(objects, damaged=lambda _: None) == ["a"]


def test_two_annotators_on_one_frame_are_both_in_the_ledger(store: Store) -> None:
    store.ledger.append(draws("a:1", who="ann") + draws("b:1", who="bob"))
    assert [action.who for action in Store.open(store.url).ledger.read("dog")] == ["ann", "bob"]


def test_reading_goes_on_while_others_write(objects: ObjectStore) -> None:
    ledger = Ledger(objects)
    ledger.append(draws("a", "b"))
    reading = ledger.read()
    seen = [next(reading).event_id]
    ledger.append(draws("c"))
    assert seen + [action.event_id for action in reading] == ["a", "b"]
    assert events(objects) == ["a", "b", "c"]


def test_many_shards_are_forgotten_and_read_again(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.store.ledger._NUM_LOGS", 2)
    ledger = Ledger(objects)
    for _ in range(2):
        receipts = [ledger.append(draws("a", shard_id=f"s{number}")) for number in range(4)]
    assert [receipt.duplicates for receipt in receipts] == [1, 1, 1, 1]


def test_fold_ends_what_a_killed_writer_began(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        Ledger(objects).append(draws(f"{number}"))
    monkeypatch.setattr("training.store.journal.PAGE", 2)
    assert Ledger(objects).fold() == 2
    assert Ledger(objects).fold() == 0
    assert events(objects) == ["0", "1", "2", "3", "4"]


def _no_room(_: Any) -> int:
    raise StoreFull("no room here")
