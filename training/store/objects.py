"""The few operations every store is made of, on a local directory or behind a URL."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from training.store.ahead import ahead
from training.store.local import LocalObjects
from training.store.remote import FsspecObjects

__all__ = ["FsspecObjects", "LocalObjects", "ObjectStore", "open_objects", "read_each"]


class ObjectStore(Protocol):
    """Whole objects under '/'-separated keys; a prefix is '' or ends in '/'.

    All methods raise StoreUnusable when the root cannot be reached, read or written; of a server, StoreUnreachable or
    StoreDenied. A write that raised StoreUnreachable may have arrived all the same, whole.
    """

    url: str

    def create(self, key: str, data: bytes) -> None:
        """Commit `data` under a free key, whole or not at all.

        Raises:
            AlreadyExists: the key is taken; it keeps what it has.
            StoreFull: no room; nothing is visible and nothing is left behind.
        """
        ...

    def put(self, key: str, data: bytes) -> None:
        """Replace the object at once, whole or not at all; for data that is the same whoever writes it.

        Raises:
            StoreFull: no room; the key keeps what it had.
        """
        ...

    def read(self, key: str) -> bytes:
        """Raises MissingObject when there is no such key."""
        ...

    def exists(self, key: str) -> bool: ...

    def keys(self, prefix: str) -> list[str]:
        """All keys below `prefix`, at any depth, sorted; reads no object."""
        ...

    def children(self, prefix: str) -> list[str]:
        """Names directly below `prefix`, sorted, folders with a trailing '/'; reads no object."""
        ...

    def delete(self, key: str) -> None:
        """Forget the key; an absent one is no error."""
        ...


def open_objects(url: str) -> ObjectStore:
    """Objects below a local path, a file:// URL, s3://bucket/prefix, or any URL fsspec knows; asks no server yet.

    Raises:
        StoreUnusable: the URL or the settings of its server cannot be understood.
        MissingExtra: the protocol's package is not installed.
    """
    if url.startswith("file://"):
        return LocalObjects(Path(url.removeprefix("file://")))
    if "://" not in url:
        return LocalObjects(Path(url).expanduser())
    if url.startswith("s3://"):
        from training.store.s3 import S3Objects

        return S3Objects(url)
    return FsspecObjects(url)


def read_each(objects: ObjectStore, keys: Sequence[str]) -> Iterator[bytes]:
    """Read many small objects in the order given, several at a time."""
    return ahead(objects.read, keys)
