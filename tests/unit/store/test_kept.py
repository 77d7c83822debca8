"""What never changes is read once, as long as there is room; all else is asked for every time."""

from collections import Counter
from pathlib import Path

import pytest

from training.errors import MissingObject
from training.store.kept import KeptObjects
from training.store.local import LocalObjects

CARD, POINTER, MARK = "models/a/things/gen-0001/card.json", "models/a/things/live/0001.json", "store.json"


class Counted(LocalObjects):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: Counter[str] = Counter()

    def read(self, key: str) -> bytes:
        self.reads[key] += 1
        return super().read(key)


@pytest.fixture
def objects(tmp_path: Path) -> Counted:
    one = Counted(tmp_path)
    for key in (CARD, POINTER, MARK, "models/a/things/gen-0001/refused.json", "models/a/things/gen-0001/weights.safetensors"):
        one.create(key, key.encode())
    return one


def test_cards_and_pointers_are_read_once_and_all_else_every_time(objects: Counted) -> None:
    kept = KeptObjects(objects)
    for key in (*objects.keys(""), *objects.keys("")):
        assert kept.read(key) == key.encode()
    assert {key for key, count in objects.reads.items() if count == 1} == {CARD, POINTER}
    assert kept.keys("models/") == objects.keys("models/")
    assert kept.children("models/a/things/live/") == ["0001.json"]


def test_what_was_not_there_is_asked_for_again(objects: Counted) -> None:
    kept, key = KeptObjects(objects), "models/a/things/live/0002.json"
    with pytest.raises(MissingObject):
        kept.read(key)
    kept.create(key, b"{}")
    assert kept.read(key) == b"{}"


def test_what_was_not_read_for_the_longest_time_goes_first(objects: Counted) -> None:
    second = "models/a/things/live/0002.json"
    objects.create(second, second.encode())
    kept = KeptObjects(objects, max_bytes=len(CARD) + len(POINTER))
    for key in (CARD, POINTER, CARD, second, CARD, POINTER):
        kept.read(key)
    assert objects.reads == {CARD: 1, POINTER: 2, second: 1}
