"""One root URL that holds the shards, ontologies, annotations, models and predictions of one project."""

import io
from collections.abc import Sequence
from contextlib import suppress

import pyarrow.parquet as pq

from training.data.annotations import FrameLabels, labels_from_table, labels_to_table
from training.data.identifiers import check_identifier
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import (
    AlreadyExists,
    BadAnnotation,
    BadInput,
    DuplicateShard,
    MissingObject,
    StoreUnusable,
    UnknownClass,
    UnknownFrame,
    UnknownOntology,
    UnknownShard,
)
from training.store.audits import Audits
from training.store.descriptors import Descriptors
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.jobs import Jobs
from training.store.ledger import Ledger
from training.store.line_predictions import LinePredictions
from training.store.lines import Lines
from training.store.local import LocalObjects
from training.store.numbered import append, numbered_key, numbers
from training.store.objects import ObjectStore, open_objects, read_each
from training.store.parquet import read_parquet
from training.store.preconditions import check_preconditions
from training.store.predictions import Predictions
from training.store.projects import Projects
from training.store.queue import Queue
from training.store.registry import Registry
from training.store.routes import Routes

__all__ = ["KIND", "SCHEMA", "Store"]

KIND = "micromodels-store"
SCHEMA = 1
_MANIFEST = "store.json"
_PART = ".parquet"


class Store:
    """A store that was opened or created; holds no connection, and no cache but the ledger's of events it has seen and
    the last trunk that micro-models share.

    url: absolute path or URL of the root.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects
        self.url = objects.url
        self.registry = Registry(objects)
        self.predictions = Predictions(objects)
        self.ledger = Ledger(objects)
        self.queue = Queue(objects)
        self.jobs = Jobs(objects)
        self.projects = Projects(objects)
        self.descriptors = Descriptors(objects)
        self.lines = Lines(objects)
        self.line_predictions = LinePredictions(objects)
        self.routes = Routes(objects)
        self._audits = Audits(objects)

    @classmethod
    def create(cls, url: str) -> "Store":
        """Make an empty store, or open the one that is there.

        Raises:
            StoreUnusable: the place holds something else, cannot be written, or its server ignores preconditions.
        """
        objects = open_objects(url)
        if not objects.exists(_MANIFEST):
            found = objects.children("")
            if found and not objects.exists(_MANIFEST):
                some = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
                raise StoreUnusable(f"{objects.url}: holds {some} and no {_MANIFEST}, needed an empty place or one of our stores")
            with suppress(AlreadyExists):  # another process made it just now: checked like any other
                objects.create(_MANIFEST, to_json_bytes({"schema": SCHEMA, "kind": KIND}, _MANIFEST))
        return cls._checked(objects)

    @classmethod
    def open(cls, url: str) -> "Store":
        """Open a store that exists.

        Raises:
            StoreUnusable: nothing there, not a store of ours, of a newer schema, or its server ignores preconditions.
        """
        objects = open_objects(url)
        if isinstance(objects, LocalObjects):
            objects.sweep()
        return cls._checked(objects)

    def add_shard(self, shard: Shard) -> None:
        """Remember a shard; adding the same one again changes nothing.

        Raises:
            DuplicateShard: the id belongs to another source; says what differs.
        """
        data = to_json_bytes(shard.to_json(), shard.shard_id)
        try:
            self.objects.create(f"shards/{shard.shard_id}.json", data)
        except AlreadyExists as error:
            there = self.shard(shard.shard_id)
            if there != shard:
                old, new = there.to_json(), shard.to_json()
                name = next(name for name in new if old[name] != new[name])
                raise DuplicateShard(
                    f"{shard.shard_id}: {shard.uri} has {name} {new[name]!r}, the store has {old[name]!r} from {there.uri};"
                    " needed another shard id"
                ) from error

    def shard(self, shard_id: str) -> Shard:
        """Raises UnknownShard when the store has no such shard."""
        key = f"shards/{check_identifier(shard_id, 'shard id')}.json"
        try:
            return Shard.from_json(from_json_bytes(self.objects.read(key), key))
        except MissingObject as error:
            raise UnknownShard(f"{shard_id}: no such shard in {self.url}") from error

    def shard_ids(self) -> list[str]:
        """Ids of all shards, sorted; reads none of them."""
        return [name.removesuffix(".json") for name in self.objects.children("shards/") if name.endswith(".json")]

    def shards(self) -> list[Shard]:
        keys = [f"shards/{shard_id}.json" for shard_id in self.shard_ids()]
        read = zip(keys, read_each(self.objects, keys), strict=True)
        return [Shard.from_json(from_json_bytes(data, key)) for key, data in read]

    def add_ontology(self, ontology: Ontology) -> None:
        """Remember an ontology; adding the same one again changes nothing.

        Raises:
            BadInput: the name already means something else.
        """
        data = to_json_bytes(ontology.to_json(), ontology.name)
        try:
            self.objects.create(f"ontologies/{ontology.name}.json", data)
        except AlreadyExists as error:
            there = self.ontology(ontology.name)
            if there != ontology:
                raise BadInput(
                    f"ontology {ontology.name}: found {ontology.task} of {', '.join(ontology.classes)}, the store has"
                    f" {there.task} of {', '.join(there.classes)}; needed another name"
                ) from error

    def ontology(self, name: str) -> Ontology:
        """Raises UnknownOntology when the store has no such ontology."""
        key = f"ontologies/{check_identifier(name, 'ontology name')}.json"
        try:
            return Ontology.from_json(from_json_bytes(self.objects.read(key), key))
        except MissingObject as error:
            there = ", ".join(ontology.name for ontology in self.ontologies())
            raise UnknownOntology(f"{name}: no such ontology in {self.url}, it has {there or 'none'}") from error

    def ontologies(self) -> list[Ontology]:
        keys = [key for key in self.objects.keys("ontologies/") if key.endswith(".json")]
        read = zip(keys, read_each(self.objects, keys), strict=True)
        return [Ontology.from_json(from_json_bytes(data, key)) for key, data in read]

    def annotate(self, shard_id: str, ontology_name: str, labels: Sequence[FrameLabels], *, audit: bool = False) -> int:
        """Append one immutable part of annotations and return its number; the last part that has a frame is believed.

        Args:
            audit: these frames are never fitted on, whatever is said about them later.
        Raises:
            UnknownShard, UnknownOntology, UnknownFrame, UnknownClass, BadAnnotation: nothing is written.
            BadInput: no frames, one comes twice, or an audit of a frame that may have been fitted on; nothing is written.
        """
        _check_labels(self.shard(shard_id), self.ontology(ontology_name), labels)
        if audit:
            self._mark_audits(shard_id, ontology_name, {frame.frame_index for frame in labels})
        buffer = io.BytesIO()
        pq.write_table(labels_to_table(labels), buffer, compression="zstd")
        return append(self.objects, f"annotations/{shard_id}/{ontology_name}/", _PART, buffer.getvalue())

    def labels(self, shard_id: str, ontology_name: str) -> list[FrameLabels]:
        """What is said about every frame somebody looked at, by frame. Raises CorruptLabels."""
        folder = f"annotations/{check_identifier(shard_id, 'shard id')}/{check_identifier(ontology_name, 'ontology name')}/"
        keys = [numbered_key(folder, number, _PART) for number in numbers(self.objects, folder, _PART)]
        last: dict[int, FrameLabels] = {}
        for key, data in zip(keys, read_each(self.objects, keys), strict=True):
            last.update((frame.frame_index, frame) for frame in labels_from_table(read_parquet(data, key)))
        return [last[index] for index in sorted(last)]

    def labels_to_fit(self, shard_id: str, ontology_name: str) -> list[FrameLabels]:
        """`labels` without the audit frames."""
        labels = self.labels(shard_id, ontology_name)  # before the marks: whoever sees an audit's labels sees its mark
        audits = self.audit_frames(shard_id, ontology_name)
        return [frame for frame in labels if frame.frame_index not in audits]

    def audit_labels(self, shard_id: str, ontology_name: str) -> list[FrameLabels]:
        """`labels` of the audit frames alone."""
        if not (audits := self.audit_frames(shard_id, ontology_name)):
            return []
        return [frame for frame in self.labels(shard_id, ontology_name) if frame.frame_index in audits]

    def audit_frames(self, shard_id: str, ontology_name: str) -> set[int]:
        """Frames that are a yardstick and never fitted on."""
        return self._audits.frames(shard_id, ontology_name)

    def labelled(self, shard_id: str) -> list[str]:
        """Names of the ontologies this shard has annotations of; reads none of them."""
        folder = f"annotations/{check_identifier(shard_id, 'shard id')}/"
        parts = (key[len(folder) :].split("/") for key in self.objects.keys(folder) if key.endswith(_PART))
        return sorted({names[0] for names in parts})

    def _mark_audits(self, shard_id: str, ontology_name: str, frame_indices: set[int]) -> None:
        fitted = {frame.frame_index for frame in self.labels_to_fit(shard_id, ontology_name)}
        if seen := sorted(fitted & frame_indices):
            raise BadInput(f"{shard_id} {ontology_name}: frame {seen[0]} was labelled to be fitted on, needed another")
        self._audits.mark(shard_id, ontology_name, frame_indices)

    @classmethod
    def _checked(cls, objects: ObjectStore) -> "Store":
        try:
            data = objects.read(_MANIFEST)
        except MissingObject as error:
            raise StoreUnusable(f"{objects.url}: no {_MANIFEST}, needed a store (`add` makes one)") from error
        manifest = from_json_bytes(data, f"{objects.url}/{_MANIFEST}")
        if manifest.get("kind") != KIND:
            raise StoreUnusable(f"{objects.url}: {_MANIFEST} says kind {manifest.get('kind')!r}, needed {KIND!r}")
        schema = manifest.get("schema")
        if schema != SCHEMA:
            raise StoreUnusable(
                f"{objects.url}: schema {schema!r}, needed {SCHEMA}; a newer store needs a newer version of this software"
            )
        check_preconditions(objects, _MANIFEST, data)
        return cls(objects)


def _check_labels(shard: Shard, ontology: Ontology, labels: Sequence[FrameLabels]) -> None:
    where = f"{shard.shard_id} {ontology.name}"
    if not labels:
        raise BadInput(f"{where}: no frames, needed at least one that somebody looked at")
    seen: set[int] = set()
    for frame in labels:
        index = frame.frame_index
        if frame.shard_id != shard.shard_id or not 0 <= index < shard.num_frames:
            raise UnknownFrame(f"{where}: labels for frame {index} of {frame.shard_id}, needed 0..{shard.num_frames - 1}")
        if index in seen:
            raise BadInput(f"{where}: frame {index} comes twice, needed each frame once")
        seen.add(index)
        for annotation in frame.annotations:
            if annotation.class_name not in ontology.classes:
                raise UnknownClass(
                    f"{where} frame {index}: class {annotation.class_name!r}, needed one of {', '.join(ontology.classes)}"
                )
            num_keypoints = len(annotation.keypoints_xyv or ()) // 3
            if num_keypoints not in (0, len(ontology.keypoints)):
                raise BadAnnotation(f"{where} frame {index}: {num_keypoints} keypoints, needed {len(ontology.keypoints)}")
