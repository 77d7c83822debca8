"""What a job was asked to do and what came of it: kept in the store, so that both outlive whoever asked and whoever ran it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from training.data.identifiers import check_identifier
from training.errors import AlreadyExists, ConflictingJob, MissingObject, StoreUnusable, UnknownJob
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.objects import ObjectStore

__all__ = ["JobRecord", "JobTarget", "Jobs", "Verb"]

Verb = Literal["fit", "label"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTarget:
    """One micro-model that a job is about, as it was when the job was asked for.

    generation: of a label the live one, which labels; of a fit the newest one, 0 where there was none.
    known: of a fit the generation that was this very work already.
    labels_hash: of a fit, of the labels it is to learn from.
    """

    shard_id: str
    ontology: str
    generation: int = 0
    known: int | None = None
    labels_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as it was asked for. options: of the verb, by the names that the command line has for them.

    submitted_at: ISO 8601, UTC. submitted_by: name of the API key, None without keys.
    """

    job_id: str
    verb: Verb
    shard_ids: tuple[str, ...]
    ontology: str | None = None
    options: Mapping[str, str | int] = field(default_factory=dict)
    targets: tuple[JobTarget, ...] = ()
    submitted_at: str = ""
    submitted_by: str | None = None

    def asks_the_same(self, other: "JobRecord") -> bool:
        """Whoever asks, and whenever."""
        return all(getattr(self, name) == getattr(other, name) for name in ("job_id", "verb", "shard_ids", "ontology", "options"))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "JobRecord":
        """Keys that a newer version added are ignored. Raises StoreUnusable when one is missing."""
        try:
            known = {name: document[name] for name in (one.name for one in fields(cls))}
            names = [one.name for one in fields(JobTarget)]
            targets = tuple(JobTarget(**{name: row[name] for name in names}) for row in known["targets"])
            return cls(**{**known, "shard_ids": tuple(known["shard_ids"]), "targets": targets})
        except (KeyError, TypeError) as error:
            raise StoreUnusable(f"job {document.get('job_id')!r}: {error!r}, needed every key of a job") from error


class Jobs:
    """The jobs of one store: each a folder of up to three objects, none of which ever changes."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def add(self, record: JobRecord) -> JobRecord:
        """Remember a job, or return the one that asks the same under the same id.

        Raises:
            ConflictingJob: the id belongs to a job that asks something else.
            BadShardId: an id that cannot be part of a path.
            StoreFull: no room; nothing is visible.
        """
        try:
            self._objects.create(_key(record.job_id, "job"), to_json_bytes(record.to_json(), record.job_id))
        except AlreadyExists as error:
            there = self.read(record.job_id)
            if not record.asks_the_same(there):
                raise ConflictingJob(
                    f"{record.job_id}: a {there.verb} of {len(there.shard_ids)} shards with other arguments has this id,"
                    " needed the same arguments or another id"
                ) from error
            return there
        return record

    def known(self, job_id: str) -> bool:
        return self._objects.exists(_key(job_id, "job"))

    def read(self, job_id: str) -> JobRecord:
        """Raises UnknownJob."""
        document = self._document(job_id, "job")
        if document is None:
            raise UnknownJob(f"{job_id}: no such job in {self._objects.url}")
        return JobRecord.from_json(document)

    def end(self, job_id: str, outcome: Mapping[str, Any]) -> None:
        """Keep what came of a job; of a job that ran twice, what came of it first. Raises StoreFull."""
        with suppress(AlreadyExists):
            self._objects.create(_key(job_id, "outcome"), to_json_bytes(outcome, job_id))

    def outcome(self, job_id: str) -> dict[str, Any] | None:
        """What came of it; None as long as it left nothing."""
        return self._document(job_id, "outcome")

    def stop(self, job_id: str, when: str) -> None:
        """Remember that it is to be stopped: it is not submitted again. when: ISO 8601, UTC. Raises StoreFull."""
        with suppress(AlreadyExists):
            self._objects.create(_key(job_id, "stopped"), to_json_bytes({"stopped_at": when}, job_id))

    def stopped(self, job_id: str) -> bool:
        """Whether somebody wanted it to stop."""
        return self._objects.exists(_key(job_id, "stopped"))

    def _document(self, job_id: str, what: str) -> dict[str, Any] | None:
        key = _key(job_id, what)
        try:
            return from_json_bytes(self._objects.read(key), key)
        except MissingObject:
            return None


def _key(job_id: str, what: str) -> str:
    return f"jobs/{check_identifier(job_id, 'job id')}/{what}.json"
