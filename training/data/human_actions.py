"""One thing a person did to the labels of a frame: the record that the ledger keeps."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from training.data.annotations import Annotation
from training.data.identifiers import check_identifier
from training.errors import BadInput

__all__ = ["ActionName", "HumanAction", "RoundKind"]

ActionName = Literal["draw", "delete", "adjust", "confirm", "look", "audit"]
RoundKind = Literal["labels", "review", "audit"]

_CHANGES: Mapping[str, tuple[bool, bool]] = {  # action -> whether it has a before, and an after
    "draw": (False, True),
    "delete": (True, False),
    "adjust": (True, True),
    "confirm": (True, False),
    "look": (False, False),
    "audit": (False, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanAction:
    """One action of one person on one frame; a moment of their time belongs to one action only.

    event_id: chosen by the client, unique within its shard and ontology: what is delivered twice counts once.
    action: draw, delete, adjust or confirm one annotation; look at a frame with its proposals; or declare an audit frame
        completely labelled.
    round_kind: the first labels, the review of proposals, or an audit frame, which is labelled before any proposal is shown.
    who, when: the person, and ISO 8601 in UTC by the client's clock; the order of actions is the ledger's, not the clock's.
    generation: that proposed what was reviewed; None for first labels and audits, and for proposals no micro-model made.
    annotation_id: the client's name of the annotation, or its index among the proposals.
    before, after: the annotation as it was proposed or drawn, and as it is now; draw has an after, delete and confirm a
        before, adjust both.
    seconds: measured; None leaves it to the table of seconds.
    Raises:
        BadInput: contradictory or impossible values.
        BadShardId: a shard id or ontology name that cannot be part of a path.
    """

    event_id: str
    action: ActionName
    round_kind: RoundKind
    shard_id: str
    ontology: str
    frame_index: int
    who: str
    when: str
    generation: int | None = None
    annotation_id: str | None = None
    before: Annotation | None = None
    after: Annotation | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        self._check_words()
        check_identifier(self.shard_id, "shard id")
        check_identifier(self.ontology, "ontology name")
        self._need(_is_whole(self.frame_index, 0), f"frame {self.frame_index!r}", "a number of 0 or more")
        machine = self.generation is None or (self.round_kind == "review" and _is_whole(self.generation, 1))
        self._need(machine, f"generation {self.generation!r} in round {self.round_kind!r}", "1 or more in a review, else none")
        self._need((self.action == "audit") <= (self.round_kind == "audit"), f"round {self.round_kind!r}", "'audit'")
        found = (self.before is not None, self.after is not None)
        needed = _CHANGES[self.action]
        self._need(found == needed, f"(before, after) given: {found}", str(needed))
        self._need(self.seconds is None or _is_seconds(self.seconds), f"{self.seconds!r} seconds", "none, or 0 or more")
        self._need(_is_utc(self.when), f"when {self.when!r}", "ISO 8601 in UTC, like 2026-01-02T03:04:05+00:00")

    @property
    def digest(self) -> bytes:
        """16 bytes that are equal for equal actions."""
        return hashlib.blake2b(json.dumps(self.to_json(), sort_keys=True).encode(), digest_size=16).digest()

    def to_json(self) -> dict[str, Any]:
        """What is not None."""
        document = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("before", "after"):
            if document[name] is not None:
                document[name] = _document(document[name])
        document["seconds"] = None if self.seconds is None else float(self.seconds)
        return _without_none(document)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "HumanAction":
        """Keys that a newer version added are ignored.

        Raises:
            BadInput: a key is missing or holds something impossible; names the event.
            BadAnnotation: an impossible before or after.
        """
        known: dict[str, Any] = {one.name: document[one.name] for one in fields(cls) if one.name in document}
        try:
            for name in ("before", "after"):
                if known.get(name) is not None:
                    known[name] = _annotation(known[name])
            return cls(**known)
        except (AttributeError, TypeError, ValueError) as error:
            raise BadInput(f"event {document.get('event_id')!r}: {error}, needed the fields of a human action") from error

    def _check_words(self) -> None:
        self._need(_is_line(self.event_id), f"event id {self.event_id!r}", "1 to 200 printable characters")
        self._need(_is_line(self.who), f"who {self.who!r}", "1 to 200 printable characters")
        named = self.annotation_id is None or _is_line(self.annotation_id)
        self._need(named, f"annotation id {self.annotation_id!r}", "none, or 1 to 200 printable characters")
        self._need(self.action in get_args(ActionName), f"action {self.action!r}", f"one of {', '.join(get_args(ActionName))}")
        rounds = get_args(RoundKind)
        self._need(self.round_kind in rounds, f"round {self.round_kind!r}", f"one of {', '.join(rounds)}")

    def _need(self, holds: bool, found: str, needed: str) -> None:
        if not holds:
            raise BadInput(f"event {self.event_id!r}: {self.action} with {found}, needed {needed}")


def _document(annotation: Annotation) -> dict[str, Any]:
    """With every number a float, so that equal annotations are equal as text."""
    document = asdict(annotation)
    for name in ("bbox_xyxy", "keypoints_xyv"):
        document[name] = None if document[name] is None else [float(number) for number in document[name]]
    document["score"] = None if document["score"] is None else float(document["score"])
    return _without_none(document)


def _annotation(document: Mapping[str, Any]) -> Annotation:
    known: dict[str, Any] = {one.name: document[one.name] for one in fields(Annotation) if one.name in document}
    for name in ("bbox_xyxy", "keypoints_xyv"):
        if known.get(name) is not None:
            known[name] = tuple(float(number) for number in known[name])
    return Annotation(**known)


def _without_none(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}


def _is_line(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 200 and text.isprintable()


def _is_whole(number: object, least: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


def _is_seconds(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) and number >= 0


def _is_utc(when: object) -> bool:
    try:
        return isinstance(when, str) and datetime.fromisoformat(when).utcoffset() == timedelta(0)
    except ValueError:
        return False
