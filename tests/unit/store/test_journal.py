"""Numbered batches and their pages: nothing is lost to folding, whoever sleeps, reads or dies meanwhile."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from training.errors import AlreadyExists
from training.store.journal import Journal
from training.store.objects import ObjectStore, open_objects

FOLDER = "ledger/dog/detection/"


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.store.journal.PAGE", 4)


@pytest.fixture(params=["local", "fsspec"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return open_objects(str(tmp_path / "root") if request.param == "local" else f"memory://{uuid.uuid4().hex}/root")


def filled(objects: ObjectStore, num_batches: int) -> Journal:
    journal = Journal(objects, FOLDER)
    for number in range(1, num_batches + 1):
        journal.create(number, [{"said": number}, {"said": -number}])
    return journal


def said(journal: Journal, after: int = 0) -> list[int]:
    """First word of every batch; a batch is always read whole."""
    batches = list(journal.batches(after))
    assert [batch.damage for batch in batches] == [None] * len(batches)
    assert all([row["said"] for row in batch.rows] == [batch.number, -batch.number] for batch in batches)
    return [batch.number for batch in batches]


class Dying:
    """Objects of a process that dies before its nth creation or deletion."""

    def __init__(self, objects: ObjectStore, lives: int) -> None:
        self._objects, self._lives = objects, lives

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def create(self, key: str, data: bytes) -> None:
        self._age()
        self._objects.create(key, data)

    def delete(self, key: str) -> None:
        self._age()
        self._objects.delete(key)

    def _age(self) -> None:
        self._lives -= 1
        if self._lives < 0:
            raise KeyboardInterrupt


def test_an_empty_journal_has_no_batches(objects: ObjectStore) -> None:
    assert said(Journal(objects, FOLDER)) == []
    assert Journal(objects, FOLDER).fold() == 0


def test_batches_come_in_order_and_after_any_number_folded_or_not(objects: ObjectStore) -> None:
    journal = filled(objects, 10)
    for _ in range(2):
        assert [said(journal, after) for after in (0, 3, 4, 9, 10)] == [list(range(after + 1, 11)) for after in (0, 3, 4, 9, 10)]
        journal.fold()
    assert objects.children(FOLDER) == ["0001-0004.jsonl", "0005-0008.jsonl", "0009.jsonl", "0010.jsonl"]


def test_a_page_is_its_parts_one_after_the_other(objects: ObjectStore) -> None:
    journal = filled(objects, 4)
    parts = [objects.read(f"{FOLDER}000{number}.jsonl") for number in range(1, 5)]
    assert journal.fold() == 1
    assert objects.read(f"{FOLDER}0001-0004.jsonl") == b"".join(parts)


def test_a_taken_number_stays_taken_when_its_part_was_folded_away(objects: ObjectStore) -> None:
    journal = filled(objects, 4)
    with pytest.raises(AlreadyExists):
        journal.create(2, [{"said": 0}])
    journal.fold()
    with pytest.raises(AlreadyExists, match="folded"):
        journal.create(2, [{"said": 0}])
    assert said(journal) == [1, 2, 3, 4]
    assert objects.children(FOLDER) == ["0001-0004.jsonl"]


@pytest.mark.parametrize("lives", range(10))
def test_a_folder_that_dies_at_any_moment_loses_nothing_and_the_next_one_ends_its_work(objects: ObjectStore, lives: int) -> None:
    journal = filled(objects, 9)
    with pytest.raises(KeyboardInterrupt):
        Journal(Dying(objects, lives), FOLDER).fold()  # type: ignore[arg-type]
    assert said(journal) == list(range(1, 10))
    journal.fold()
    assert said(journal) == list(range(1, 10))
    assert objects.children(FOLDER) == ["0001-0004.jsonl", "0005-0008.jsonl", "0009.jsonl"]


def test_a_reader_overtaken_by_folding_reads_every_batch_once(objects: ObjectStore) -> None:
    journal = filled(objects, 10)
    reading = journal.batches()
    numbers = [next(reading).number]
    journal.fold()
    assert numbers + [batch.number for batch in reading] == list(range(1, 11))


def test_a_reader_does_not_believe_the_void_part_of_a_writer_that_slept(objects: ObjectStore) -> None:
    journal = filled(objects, 8)
    reading = journal.batches()
    first = next(reading)
    journal.fold()
    objects.create(f"{FOLDER}0006.jsonl", b'{"batch": 6, "batch_size": 1, "said": "void"}\n')
    assert [row["said"] for batch in (first, *reading) for row in batch.rows if row["said"] != -batch.number] == list(range(1, 9))
    journal.fold()
    assert objects.children(FOLDER) == ["0001-0004.jsonl", "0005-0008.jsonl"]


def test_a_part_that_a_listing_missed_is_read_all_the_same(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = filled(objects, 3)
    monkeypatch.setattr(objects, "children", lambda _: ["0001.jsonl", "0003.jsonl"])
    assert said(journal) == [1, 2, 3]


@pytest.mark.parametrize(("cut", "kept"), [(2, [2]), (20, [2]), (41, [2]), (42, [2]), (44, []), (80, []), (81, [])])
def test_a_batch_cut_off_anywhere_is_damage_and_is_never_folded(objects: ObjectStore, cut: int, kept: list[int]) -> None:
    journal = filled(objects, 5)
    key = f"{FOLDER}0002.jsonl"
    objects.put(key, objects.read(key)[:-cut])
    batches = list(journal.batches())
    assert [batch.number for batch in batches if batch.damage is None] == [1, 3, 4, 5]
    assert [row["said"] for row in batches[1].rows] == kept
    assert batches[1].damage is not None
    assert f"{FOLDER}: batch 2 has {len(kept)} whole records" in batches[1].damage
    assert journal.fold() == 0
    assert len(objects.children(FOLDER)) == 5


def test_a_batch_that_lost_only_its_last_newline_is_whole(objects: ObjectStore) -> None:
    journal = filled(objects, 5)
    key = f"{FOLDER}0002.jsonl"
    objects.put(key, objects.read(key)[:-1])
    for _ in range(2):
        assert said(journal) == [1, 2, 3, 4, 5]
        journal.fold()


def test_a_batch_that_is_gone_is_damage(objects: ObjectStore) -> None:
    journal = filled(objects, 3)
    objects.delete(f"{FOLDER}0002.jsonl")
    assert [(batch.number, len(batch.rows), batch.damage is None) for batch in journal.batches()] == [
        (1, 2, True),
        (2, 0, False),
        (3, 2, True),
    ]
