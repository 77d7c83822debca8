"""Assembly lines as they were declared: every version is kept, the highest is the current one."""

from dataclasses import replace
from datetime import UTC, datetime

from training.data.identifiers import check_identifier
from training.data.line import Line
from training.errors import BadLine, BadShardId, MissingObject, StoreUnusable, UnknownLine
from training.store.documents import from_json_bytes, to_json_bytes
from training.store.numbered import append, numbered_key, numbers
from training.store.objects import ObjectStore

__all__ = ["Lines"]

_ROOT, _PART = "lines/", ".json"


class Lines:
    """The lines of one store. Whether a line can run is checked by `training.lines.save_line`, not here."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def save(self, line: Line) -> Line:
        """Append a version and return it as it is in the store; a line that is the current version already stays it.

        Raises:
            StoreFull: no room; nothing is visible.
        """
        taken = self.versions(line.name)
        if taken and (current := self._read(line.name, taken[-1])).stages == line.stages:
            return current
        new = replace(line, saved_at=datetime.now(UTC).isoformat(timespec="seconds"))
        document = {key: value for key, value in new.to_json().items() if key != "version"}
        version = append(self._objects, _folder(line.name), _PART, to_json_bytes(document, f"line {line.name}"))
        return replace(new, version=version)

    def get(self, ref: str) -> Line:
        """'name', the current version, or 'name@2'.

        Raises:
            UnknownLine: there is none; names the choices.
        """
        name, _, which = ref.partition("@")
        try:
            taken = self.versions(check_identifier(name, "line name"))
        except BadShardId as error:
            raise UnknownLine(str(error)) from error
        if not taken:
            raise UnknownLine(f"{name}: no such line, there is {', '.join(self.names()) or 'none'}")
        if which and which not in {str(one) for one in taken}:
            raise UnknownLine(f"{ref}: no such version, there is {', '.join(map(str, taken))}")
        return self._read(name, int(which) if which else taken[-1])

    def names(self) -> list[str]:
        """Sorted; reads none of them."""
        return [name.removesuffix("/") for name in self._objects.children(_ROOT) if name.endswith("/")]

    def versions(self, name: str) -> list[int]:
        """Oldest first; reads none of them."""
        return numbers(self._objects, _folder(name), _PART)

    def _read(self, name: str, version: int) -> Line:
        key = numbered_key(_folder(name), version, _PART)
        try:
            return replace(Line.from_json(from_json_bytes(self._objects.read(key), key), key), version=version)
        except (BadLine, MissingObject) as error:
            raise StoreUnusable(f"{key}: {error}, needed a line as this software writes it") from error


def _folder(name: str) -> str:
    return f"{_ROOT}{name}/"
