"""What was decided about published generations: which went live, in order, and which were refused.

A promotion is one object `live/000N.json`, the highest number answers; a refusal is `gen-000N/refused.json`. Both are created
exclusively and keep the reason and the gate's verdict.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from training.data.known_fields import known_fields
from training.errors import AlreadyExists, MissingObject, StoreUnusable
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.numbered import append, numbered_key, numbers
from training.store.objects import ObjectStore, read_each

__all__ = ["Decision", "Decisions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One generation was made live, or refused.

    verdict: the gate's, as JSON; None when somebody else decided, as in a rollback.
    decided_at: ISO 8601, UTC.
    """

    generation: int
    promoted: bool
    reason: str
    verdict: Mapping[str, Any] | None = None
    decided_at: str = ""

    @property
    def status(self) -> str:
        """The gate's word for it; 'by hand' without one."""
        return "by hand" if self.verdict is None else str(self.verdict["status"])


class Decisions:
    """About the generations of one shard and ontology, which are in `folder` (ends in '/')."""

    def __init__(self, objects: ObjectStore, folder: str) -> None:
        self._objects, self._folder = objects, folder

    def add(self, decision: Decision) -> None:
        """Commit it; a generation that was refused already stays refused for the first reason. Raises StoreFull."""
        document = asdict(decision) | {"decided_at": decision.decided_at or datetime.now(UTC).isoformat()}
        data = to_json_bytes(document, f"{self._folder}{decision.generation}")
        if decision.promoted:
            append(self._objects, f"{self._folder}live/", ".json", data)
        else:
            with suppress(AlreadyExists):
                self._objects.create(self._refused(decision.generation), data)

    def promotions(self, last: int | None = None) -> list[Decision]:
        """In the order they were made, the last `last` of them; one generation may come several times."""
        taken = numbers(self._objects, f"{self._folder}live/", ".json")
        keys = [numbered_key(f"{self._folder}live/", number, ".json") for number in (taken if last is None else taken[-last:])]
        return [_parsed(data, key) for key, data in zip(keys, read_each(self._objects, keys), strict=True)]

    def about(self, generation: int) -> Decision | None:
        """The last promotion of a generation, else its refusal; None when nobody has decided yet."""
        for promotion in reversed(self.promotions()):
            if promotion.generation == generation:
                return promotion
        key = self._refused(generation)
        try:
            return _parsed(self._objects.read(key), key)
        except MissingObject:
            return None

    def _refused(self, generation: int) -> str:
        return f"{self._folder}gen-{generation:04d}/refused.json"


def _parsed(data: bytes, key: str) -> Decision:
    document = {"promoted": True} | from_json_bytes(data, key)
    try:
        return Decision(**known_fields(Decision, document))
    except TypeError as error:
        raise StoreUnusable(f"{key}: {error}, needed a generation and a reason") from error
