"""The test of a server when a store on it is opened: does it refuse to create what exists?"""

from contextlib import suppress

from training.errors import AlreadyExists, StoreDenied, StoreFull, StoreUnusable
from training.store.local import LocalObjects
from training.store.objects import ObjectStore

__all__ = ["check_preconditions"]

_passed: set[str] = set()


def check_preconditions(objects: ObjectStore, key: str, data: bytes) -> None:
    """Create `key`, which holds `data`, again: one request for each URL in the life of a process, and it must fail.

    A directory needs no test; a hard link never replaces a file. Who may not write here, or has no room, is let in to read.

    Raises:
        StoreUnusable: it was created again: two writers would silently overwrite each other on this server.
    """
    if isinstance(objects, LocalObjects) or objects.url in _passed:
        return
    with suppress(StoreDenied, StoreFull):
        try:
            objects.create(key, data)
        except AlreadyExists:
            _passed.add(objects.url)
        else:
            raise StoreUnusable(f"{objects.url}: the server let {key} be created again, needed one that honours If-None-Match")
