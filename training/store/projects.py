"""Which shards a project of another tool labels: what is to be fitted when somebody there asks for it."""

from contextlib import suppress

from training.data.identifiers import check_identifier
from training.errors import AlreadyExists
from training.store.documents import to_json_bytes
from training.store.objects import ObjectStore

__all__ = ["Projects"]

_PART = ".json"


class Projects:
    """One small object for each micro-model that a project has labelled frames of; none ever changes."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def add(self, tool: str, project: int, shard_id: str, ontology: str) -> None:
        """Remember it; what is known already is left alone. Raises BadShardId, StoreFull."""
        model = f"{check_identifier(shard_id, 'shard id')}/{check_identifier(ontology, 'ontology name')}"
        key = f"{_folder(tool, project)}{model}{_PART}"
        with suppress(AlreadyExists):
            self._objects.create(key, to_json_bytes({"shard_id": shard_id, "ontology": ontology}, key))

    def of(self, tool: str, project: int) -> list[tuple[str, str]]:
        """(shard id, ontology) of all that it labelled, sorted; reads no object."""
        folder = _folder(tool, project)
        parts = (key.removeprefix(folder).split("/") for key in self._objects.keys(folder) if key.endswith(_PART))
        return sorted((some[0], some[1].removesuffix(_PART)) for some in parts if len(some) == 2)


def _folder(tool: str, project: int) -> str:
    return f"projects/{check_identifier(tool, 'tool')}/{project}/"
