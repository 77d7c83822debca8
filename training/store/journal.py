"""An append-only folder of numbered batches of JSON lines, which stays quick to read when there are very many."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from training.errors import AlreadyExists, MissingObject
from training.store.numbered import numbered_key, numbers
from training.store.objects import ObjectStore, read_each

__all__ = ["PAGE", "Batch", "Journal"]

PAGE = 256
"""Batches that are folded into one page."""

_PART = ".jsonl"
_NUM_DELETERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What was committed at once. damage: what is wrong with it when not all of it is there, else None."""

    number: int
    rows: tuple[dict[str, Any], ...]
    damage: str | None


class Journal:
    """Batch n is the object 000n.jsonl; batches 1..256, 257..512, … are later folded into pages 0001-0256.jsonl, ….

    A page is committed before its parts are deleted, and whoever creates or reads a part then looks whether its page exists:
    a part made by a writer that slept through the folding is void. So every number is taken once, for ever.
    """

    def __init__(self, objects: ObjectStore, folder: str) -> None:
        self._objects = objects
        self.folder = folder

    def create(self, number: int, rows: Sequence[Mapping[str, Any]]) -> str:
        """Commit batch `number` and return its key; the writer must have read all batches before it.

        Raises:
            AlreadyExists: the number is taken.
            StoreFull: no room; nothing is visible.
        """
        key = numbered_key(self.folder, number, _PART)
        self._objects.create(key, _lines(number, rows))
        if self._objects.exists(self._page_key(_first(number))):
            self._objects.delete(key)
            raise AlreadyExists(f"{key}: folded into a page, needed a free number")
        return key

    def batches(self, after: int = 0) -> Iterator[Batch]:
        """The batches after number `after` that were committed when this is called, in order; one page in memory at a time."""
        pages, last = self._listing()
        for first in range(_first(after + 1), last + 1, PAGE):
            wanted = range(max(first, after + 1), min(first + PAGE, last + 1))
            yield from self._read(first, wanted, folded=first in pages)

    def fold(self) -> int:
        """Fold what is complete and undamaged, and delete parts that pages hold; returns the number of new pages.

        Raises:
            StoreFull: no room for a page; its parts stay.
        """
        pages, last = self._listing()
        full = set(range(1, last - PAGE + 2, PAGE))
        new = {first for first in sorted(full - pages) if self._fold(first)}
        parts = numbers(self._objects, self.folder, _PART)
        held = [numbered_key(self.folder, number, _PART) for number in parts if _first(number) in pages | new]
        with ThreadPoolExecutor(_NUM_DELETERS) as deleters:
            list(deleters.map(self._objects.delete, held))
        return len(new)

    def _fold(self, first: int) -> bool:
        data = self._parts(range(first, first + PAGE))
        if any(batch.damage for batch in self._parse(data, range(first, first + PAGE))):
            return False
        try:
            self._objects.create(self._page_key(first), b"".join(part.rstrip(b"\n") + b"\n" for part in data))
        except AlreadyExists:  # somebody else folded the same
            return False
        return True

    def _listing(self) -> tuple[set[int], int]:
        """The first numbers of all pages, and the last number that is taken."""
        names = (name.removesuffix(_PART).split("-") for name in self._objects.children(self.folder) if name.endswith(_PART))
        spans = [[int(end) for end in ends] for ends in names if all(end.isdecimal() for end in ends)]
        return {span[0] for span in spans if len(span) == 2}, max((span[-1] for span in spans), default=0)

    def _read(self, first: int, wanted: range, *, folded: bool) -> Iterator[Batch]:
        page_key = self._page_key(first)
        if not folded:
            parts = self._parts(wanted)
            if not self._objects.exists(page_key):  # else they were folded meanwhile, and what was read may be void
                return self._parse(parts, wanted)
        return self._parse([self._objects.read(page_key)], wanted)

    def _parts(self, wanted: Iterable[int]) -> list[bytes]:
        """Every part by number, whatever a listing said: listings may lack what was created while they were made."""
        keys = [numbered_key(self.folder, number, _PART) for number in wanted]
        try:
            return list(read_each(self._objects, keys))
        except MissingObject:
            return [self._part(key) for key in keys]

    def _part(self, key: str) -> bytes:
        try:
            return self._objects.read(key)
        except MissingObject:
            return b""

    def _parse(self, data: Iterable[bytes], wanted: range) -> Iterator[Batch]:
        found: dict[int, list[dict[str, Any]]] = {number: [] for number in wanted}
        for line in (line for text in data for line in text.split(b"\n")):
            row = _row(line)
            if row is not None and row["batch"] in found:
                found[row["batch"]].append(row)
        for number, rows in found.items():
            size = rows[0]["batch_size"] if rows else "at least 1"
            where = f"{self._objects.url}/{self.folder}"
            damage = None if len(rows) == size else f"{where}: batch {number} has {len(rows)} whole records, needed {size}"
            yield Batch(number=number, rows=tuple(rows), damage=damage)

    def _page_key(self, first: int) -> str:
        return f"{self.folder}{first:04d}-{first + PAGE - 1:04d}{_PART}"


def _first(number: int) -> int:
    """The first number of the page that `number` belongs to."""
    return (number - 1) // PAGE * PAGE + 1


def _lines(number: int, rows: Sequence[Mapping[str, Any]]) -> bytes:
    numbered = ({"batch": number, "batch_size": len(rows), **row} for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in numbered).encode()


def _row(line: bytes) -> dict[str, Any] | None:
    """The record in a line, None when it was cut off."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("batch"), int) and "batch_size" in row else None
