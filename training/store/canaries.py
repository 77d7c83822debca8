"""Generations on trial: each gets a share of the requests of its micro-model for a while, beside the live one.

What happened is numbered objects `models/<shard>/<ontology>/canary/000N.json`, a start or an end, created exclusively: of all
who would start or end a trial at the same moment one does, and the highest number holds. While trial N runs there is a mark
`canaries/<shard>/<ontology>/000N`, so that one listing finds all of them; it says nothing by itself. What services saw of a
trial is `…/canary/000N/<who>.json`, written again and again by that one alone.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from training.data.identifiers import check_identifier
from training.data.known_fields import known_fields
from training.errors import (
    AlreadyExists,
    BadInput,
    BadShardId,
    ConflictingCanary,
    MissingObject,
    StoreDenied,
    StoreUnreachable,
    StoreUnusable,
    UnknownModel,
)
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.numbered import newest, numbered_key
from training.store.objects import ObjectStore, read_each

__all__ = ["Canaries", "Canary", "CanaryLimits", "Outcome", "check_share"]

Outcome = Literal["rolled-back", "promoted", "withdrawn"]
_MARKS = "canaries/"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryLimits:
    """How much worse than the live generation one on trial may be, in what can be known without knowing what is true.

    min_requests: of each generation, before they are compared.
    more_errors: difference of the share of requests that failed. slower: ratio of the median seconds,
        of which up to 0.01 s more never count.
    other_empty: difference of the share of pictures on which nothing was found. less_sure: difference of the mean score.
    agreement: of pictures that both answered, the share of what they say that is the same.
    """

    min_requests: int = 200
    more_errors: float = 0.02
    slower: float = 2.0
    other_empty: float = 0.3
    less_sure: float = 0.2
    agreement: float = 0.5

    def __post_init__(self) -> None:
        """Raises BadInput."""
        shares = (self.more_errors, self.other_empty, self.less_sure, self.agreement)
        if self.min_requests < 1 or self.slower < 1 or not all(0 <= share <= 1 for share in shares):
            raise BadInput(f"{self}: needed at least one request, slower of at least 1, and the rest in 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A generation on trial against the live one, or one that was.

    number: of its start. outcome, reason: how and why it ended, None while it runs. started_at, ended_at: ISO 8601, UTC.
    figures: that decided, as the judge saw them.
    """

    shard_id: str
    ontology: str
    generation: int
    against: int
    share: float
    limits: CanaryLimits = field(default_factory=CanaryLimits)
    number: int = 0
    started_at: str = ""
    started_by: str | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    ended_at: str | None = None
    ended_by: str | None = None
    figures: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Raises BadInput."""
        check_share(self.share)

    @property
    def running(self) -> bool:
        return self.outcome is None


def check_share(share: float | None) -> None:
    """Raises BadInput for a share of requests that is none; None is nobody's."""
    if share is not None and not 0 < share < 1:
        raise BadInput(f"a share of {share}, needed one between 0 and 1")


class Canaries:
    """The trials of one store. That the generations exist is checked by the registry, not here."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def start(self, canary: Canary) -> Canary:
        """Begin a trial; returns it with its number.

        Raises:
            ConflictingCanary: another one runs.
        """
        taken, before = self._newest(canary.shard_id, canary.ontology)
        if before is not None and before.running and before.against == canary.against:
            raise ConflictingCanary(f"{canary.shard_id} {canary.ontology}: generation {before.generation} is on trial already")
        started = replace(canary, number=taken + 1, started_at=_now())
        self._objects.put(_mark(started), b"")  # first: a mark without a trial misleads nobody
        self._write(started, taken + 1)
        if before is not None and before.running:  # it can never be the newest again, whatever is live
            self._objects.delete(_mark(before))
        return started

    def end(
        self, canary: Canary, outcome: Outcome, reason: str, *, by: str | None = None, figures: Mapping[str, Any] | None = None
    ) -> Canary:
        """End a running trial; returns it as ended.

        Raises:
            ConflictingCanary: somebody ended it before.
        """
        taken, there = self._newest(canary.shard_id, canary.ontology)
        if there is None or there.number != canary.number or not there.running:
            raise ConflictingCanary(f"{canary.shard_id} {canary.ontology}: trial {canary.number} is over")
        ended = replace(there, outcome=outcome, reason=reason, ended_at=_now(), ended_by=by, figures=figures)
        self._write(ended, taken + 1)
        self._objects.delete(_mark(canary))
        return ended

    def newest(self, shard_id: str, ontology: str) -> Canary | None:
        """The trial that runs, or the last one; None if there never was any. One whose live generation went may still run."""
        return self._newest(shard_id, ontology)[1]

    def running(self) -> list[Canary]:
        """Of all micro-models, as `newest`; one listing, and two reads for each."""
        marks = (key.split("/") for key in self._objects.keys(_MARKS))
        found = {(parts[1], parts[2]) for parts in marks if len(parts) == 4}
        canaries = (self._readable(*model) for model in sorted(found))
        return [canary for canary in canaries if canary is not None and canary.running]

    def _readable(self, shard_id: str, ontology: str) -> Canary | None:
        """A damaged trial runs nowhere, and keeps no other from running."""
        try:
            return self.newest(shard_id, ontology)
        except (StoreDenied, StoreUnreachable):
            raise
        except StoreUnusable as error:
            _log.warning("canary cannot be read shard=%s ontology=%s error=%s", shard_id, ontology, error)
            return None

    def report(self, canary: Canary, who: str, figures: Mapping[str, Any]) -> None:
        """What `who` has seen so far, in place of what it said before. Raises StoreFull."""
        self._objects.put(f"{_reports(canary)}{check_identifier(who, 'reporter')}.json", to_json_bytes(figures, who))

    def reports(self, canary: Canary) -> Iterator[Mapping[str, Any]]:
        """What everybody has seen."""
        keys = self._objects.keys(_reports(canary))
        return (from_json_bytes(data, key) for key, data in zip(keys, read_each(self._objects, keys), strict=True))

    def _newest(self, shard_id: str, ontology: str) -> tuple[int, Canary | None]:
        """And the highest number that is taken."""
        folder = _folder(shard_id, ontology)
        taken = newest(self._objects, folder, ".json")
        if not taken:
            return 0, None
        key = numbered_key(folder, taken, ".json")
        try:
            document = from_json_bytes(self._objects.read(key), key)
        except MissingObject as error:
            raise UnknownModel(f"{key}: gone while it was read") from error
        return taken, _parsed(document, key)

    def _write(self, canary: Canary, number: int) -> None:
        key = numbered_key(_folder(canary.shard_id, canary.ontology), number, ".json")
        try:
            self._objects.create(key, to_json_bytes(asdict(canary), key))
        except AlreadyExists as error:
            raise ConflictingCanary(f"{canary.shard_id} {canary.ontology}: somebody else was faster, look again") from error


def _parsed(document: Mapping[str, Any], key: str) -> Canary:
    """Keys that a newer version added are ignored. Raises StoreUnusable: one is missing."""
    try:
        limits = CanaryLimits(**known_fields(CanaryLimits, document["limits"]))
        return Canary(**known_fields(Canary, document) | {"limits": limits})
    except (BadInput, KeyError, TypeError) as error:
        raise StoreUnusable(f"{key}: {error!r}, needed every key a trial has") from error


def _folder(shard_id: str, ontology: str) -> str:
    try:
        return f"models/{check_identifier(shard_id, 'micro-model')}/{check_identifier(ontology, 'micro-model')}/canary/"
    except BadShardId as error:
        raise UnknownModel(str(error)) from error


def _reports(canary: Canary) -> str:
    return f"{_folder(canary.shard_id, canary.ontology)}{canary.number:04d}/"


def _mark(canary: Canary) -> str:
    return f"{_MARKS}{canary.shard_id}/{canary.ontology}/{canary.number:04d}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
