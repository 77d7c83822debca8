"""Objects behind any other URL that fsspec knows and that honours exclusive creation."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from training.errors import AlreadyExists, MissingExtra, MissingObject, StoreDenied, StoreFull, StoreUnusable, one_line

__all__ = ["FsspecObjects"]


class FsspecObjects:
    """Keys are object names below `url`; a create is fsspec's exclusive mode.

    Raises:
        MissingExtra: the filesystem of this URL's protocol is not installed.
        StoreUnusable: the URL cannot be understood.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url.rstrip("/")
        try:
            self._fs, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            raise MissingExtra(f"{url}: {error}; needed the filesystem of this protocol") from error
        except ValueError as error:
            raise StoreUnusable(f"{url}: {error}, needed a directory, s3://bucket/path or another URL fsspec knows") from error
        self._root = root.rstrip("/")

    def create(self, key: str, data: bytes) -> None:
        with self._named_errors(key):
            self._fs.pipe_file(self._path(key), data, mode="create")

    def put(self, key: str, data: bytes) -> None:
        with self._named_errors(key):
            self._fs.pipe_file(self._path(key), data)

    def read(self, key: str) -> bytes:
        with self._named_errors(key):
            return bytes(self._fs.cat_file(self._path(key)))

    def exists(self, key: str) -> bool:
        with self._named_errors(key):
            return bool(self._fs.isfile(self._path(key)))

    def keys(self, prefix: str) -> list[str]:
        with self._named_errors(prefix):
            try:
                found = self._fs.find(self._path(prefix).rstrip("/"))
            except FileNotFoundError:
                return []
        folder = self._path(prefix).rstrip("/") + "/"
        return sorted(self._key(path) for path in found if path.startswith(folder))

    def children(self, prefix: str) -> list[str]:
        with self._named_errors(prefix):
            try:
                entries = self._fs.ls(self._path(prefix).rstrip("/"), detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
        below = self._path(prefix).rstrip("/") + "/"
        found = [(entry["name"].rstrip("/"), entry["type"] == "directory") for entry in entries]
        return sorted(name[len(below) :] + "/" * folder for name, folder in found if name.startswith(below))

    def delete(self, key: str) -> None:
        with self._named_errors(key):
            try:
                self._fs.rm_file(self._path(key))
            except FileNotFoundError:
                return

    def _path(self, key: str) -> str:
        if key.startswith("/") or ".." in key.split("/"):
            raise StoreUnusable(f"{self.url}: key {key!r} leaves the store")
        return f"{self._root}/{key}"

    def _key(self, path: str) -> str:
        return path[len(self._root) + 1 :]

    @contextmanager
    def _named_errors(self, key: str) -> Iterator[None]:
        where = f"{self.url}/{key}"
        try:
            yield
        except FileExistsError as error:
            raise AlreadyExists(f"{where}: already there, needed a free name") from error
        except FileNotFoundError as error:
            raise MissingObject(f"{where}: no such object") from error
        except PermissionError as error:
            raise StoreDenied(f"{where}: {one_line(error)}, needed a place we may read and write") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(f"{where}: {one_line(error)}, nothing was committed; needed room for the write") from error
            raise StoreUnusable(f"{where}: {one_line(error)}, needed a place we may read and write") from error
