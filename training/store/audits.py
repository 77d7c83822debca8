"""Which frames are audit frames: marked before their labels are written, for ever, and never fitted on."""

from collections.abc import Iterable

from training.data.identifiers import check_identifier
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.numbered import append, numbered_key, numbers
from training.store.objects import ObjectStore, read_each

__all__ = ["Audits"]

_PART = ".json"


class Audits:
    """The audit frames of one store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def mark(self, shard_id: str, ontology: str, frame_indices: Iterable[int]) -> None:
        """Make these frames audit frames; those that are already stay so. Raises StoreFull."""
        new = sorted(set(frame_indices) - self.frames(shard_id, ontology))
        if new:
            data = to_json_bytes({"frames": new}, f"{shard_id} {ontology}")
            append(self._objects, _folder(shard_id, ontology), _PART, data)

    def frames(self, shard_id: str, ontology: str) -> set[int]:
        folder = _folder(shard_id, ontology)
        keys = [numbered_key(folder, number, _PART) for number in numbers(self._objects, folder, _PART)]
        parts = zip(keys, read_each(self._objects, keys), strict=True)
        return {index for key, data in parts for index in from_json_bytes(data, key)["frames"]}


def _folder(shard_id: str, ontology: str) -> str:
    return f"audits/{check_identifier(shard_id, 'shard id')}/{check_identifier(ontology, 'ontology name')}/"
