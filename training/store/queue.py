"""What `next` answered last: the frames a person should look at, for whoever shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from training.data.human_actions import RoundKind
from training.data.identifiers import check_identifier
from training.errors import MicroModelError, StoreUnusable
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.numbered import append, newest, numbered_key
from training.store.objects import ObjectStore

__all__ = ["Queue", "Queued", "QueuedFrame"]

_FOLDER, _PART = "queue/", ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedFrame:
    """One frame that waits for a person.

    ontology: None where nobody labelled anything yet and the store has several.
    kind: labels, audit (both are drawn before any proposal is shown) or review.
    generation: whose proposals are to be reviewed; None unless kind is review.
    costs_s: expected seconds of work.
    """

    shard_id: str
    ontology: str | None
    frame_index: int
    kind: RoundKind
    costs_s: float
    why: str
    generation: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """One answer of `next`, the most worth first. number: 0 when nobody has asked yet. made_at: ISO 8601, UTC."""

    number: int = 0
    made_at: str | None = None
    frames: tuple[QueuedFrame, ...] = ()


class Queue:
    """The queues of one store: appended as whole documents, of which the newest counts."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def replace(self, frames: Sequence[QueuedFrame]) -> int:
        """From now on these frames wait, and no others; returns the queue's number. Raises StoreFull."""
        document = {"made_at": datetime.now(UTC).isoformat(timespec="seconds"), "frames": [asdict(one) for one in frames]}
        return append(self._objects, _FOLDER, _PART, to_json_bytes(document, "queue"))

    def read(self) -> Queued:
        """The newest queue; one without frames if there is none.

        Raises:
            StoreUnusable: it is not what this software writes.
        """
        number = newest(self._objects, _FOLDER, _PART)
        if not number:
            return Queued()
        key = numbered_key(_FOLDER, number, _PART)
        document = from_json_bytes(self._objects.read(key), key)
        try:
            frames = tuple(_frame(row) for row in document["frames"])
            return Queued(number=number, made_at=str(document["made_at"]), frames=frames)
        except (KeyError, TypeError, ValueError, MicroModelError) as error:
            raise StoreUnusable(f"{key}: {error!r}, needed made_at and frames as `next` writes them") from error


def _frame(row: Mapping[str, Any]) -> QueuedFrame:
    """Keys that a newer version added are ignored."""
    frame = QueuedFrame(**{name: row[name] for name in QueuedFrame.__dataclass_fields__ if name in row})
    check_identifier(frame.shard_id, "shard id")
    if frame.ontology is not None:
        check_identifier(frame.ontology, "ontology name")
    if frame.kind not in get_args(RoundKind):
        raise ValueError(f"kind {frame.kind!r}")
    return frame
