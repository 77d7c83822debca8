"""Which rules lead a picture to a micro-model: whole documents, of which the newest counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from training.errors import AlreadyExists, ConflictingRules, StoreUnusable
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.numbered import append, newest, numbered_key
from training.store.objects import ObjectStore

__all__ = ["Routes", "SavedRules"]

_FOLDER, _PART = "routes/", ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRules:
    """One document, in the order the rules are tried. number: 0 when nobody has saved any. saved_at: ISO 8601, UTC."""

    number: int = 0
    saved_at: str | None = None
    rules: tuple[Mapping[str, Any], ...] = ()


class Routes:
    """The rules of one store; what they mean is known by `training.domain.rules`."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def replace(self, rules: Sequence[Mapping[str, Any]], *, number: int | None = None) -> int:
        """From now on these rules hold; returns their number.

        Args:
            number: of the rules that they replace; None for whichever are the newest.
        Raises:
            ConflictingRules: others are the newest by now; nothing is saved.
            StoreFull: no room; nothing is saved.
        """
        data = to_json_bytes({"saved_at": datetime.now(UTC).isoformat(timespec="seconds"), "rules": list(rules)}, "routes")
        if number is None:
            return append(self._objects, _FOLDER, _PART, data)
        there = newest(self._objects, _FOLDER, _PART)
        try:
            if there == number:
                self._objects.create(numbered_key(_FOLDER, number + 1, _PART), data)
                return number + 1
        except AlreadyExists:
            there = number + 1
        raise ConflictingRules(f"rules {number} were to be replaced, the newest are {there}; needed a look at those")

    def read(self) -> SavedRules:
        """The newest rules; none if nobody has saved any.

        Raises:
            StoreUnusable: they are not what this software writes.
        """
        number = newest(self._objects, _FOLDER, _PART)
        if not number:
            return SavedRules()
        key = numbered_key(_FOLDER, number, _PART)
        document = from_json_bytes(self._objects.read(key), key)
        rules = document.get("rules")
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise StoreUnusable(f"{key}: {type(rules).__name__} of rules, needed a list of objects")
        return SavedRules(number=number, saved_at=str(document.get("saved_at")), rules=tuple(rules))
