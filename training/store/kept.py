"""Objects that never change once they are there, kept in memory by whoever reads them again and again."""

import re
import threading
from collections import OrderedDict

from training.store.objects import ObjectStore

__all__ = ["KeptObjects"]

_UNCHANGING = re.compile(r"models/[^/]+/[^/]+/(gen-\d+/card|live/\d+)\.json")  # created exclusively, never rewritten


class KeptObjects:
    """A store whose cards and pointers to live generations are read once each; all else is passed on. Thread-safe.

    A listing says whether a generation is there (still), so that what is kept of one that was deleted is not found by its name.

    max_bytes: of what is kept; what was not read for the longest time goes first.
    """

    def __init__(self, objects: ObjectStore, max_bytes: int = 64 * 2**20) -> None:
        self._objects, self._max_bytes = objects, max_bytes
        self.url = objects.url
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._num_bytes = 0

    def read(self, key: str) -> bytes:
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        data = self._objects.read(key)
        if _UNCHANGING.fullmatch(key):
            self._keep(key, data)
        return data

    def create(self, key: str, data: bytes) -> None:
        self._objects.create(key, data)

    def put(self, key: str, data: bytes) -> None:
        self._objects.put(key, data)

    def exists(self, key: str) -> bool:
        return self._objects.exists(key)

    def keys(self, prefix: str) -> list[str]:
        return self._objects.keys(prefix)

    def children(self, prefix: str) -> list[str]:
        return self._objects.children(prefix)

    def delete(self, key: str) -> None:
        self._objects.delete(key)

    def _keep(self, key: str, data: bytes) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = data
                self._num_bytes += len(data)
            while self._num_bytes > self._max_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._num_bytes -= len(oldest)
