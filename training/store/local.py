"""Objects as files of one local directory, committed by hard link."""

import errno
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import AlreadyExists, MissingObject, StoreFull, StoreUnusable

__all__ = ["LocalObjects"]

_TEMPORARY = ".tmp"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


class LocalObjects:
    """Keys are paths below `root`; a key is either absent or complete, also after a crash or a full disk.

    Data is written to `root/.tmp`, flushed, and only then linked to its key; readers never look into `.tmp`.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.url = os.path.abspath(root)  # noqa: PTH100 (a link someone chose as root stays a link)
        self._root = Path(self.url)

    def create(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._named_errors(key), self._temporary(path, data) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError as error:
                raise AlreadyExists(f"{path}: already there, needed a free name") from error
            _flush_directory(path.parent)

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._named_errors(key), self._temporary(path, data) as temporary:
            temporary.replace(path)
            _flush_directory(path.parent)

    def read(self, key: str) -> bytes:
        with self._named_errors(key):
            return self._path(key).read_bytes()

    def exists(self, key: str) -> bool:
        with self._named_errors(key):
            return self._path(key).is_file()

    def keys(self, prefix: str) -> list[str]:
        found: list[str] = []
        pending = [prefix]
        while pending:
            folder = pending.pop()
            for name in self.children(folder):
                (pending if name.endswith("/") else found).append(folder + name)
        return sorted(found)

    def children(self, prefix: str) -> list[str]:
        folder = self._path(prefix) if prefix else self._root
        try:
            with self._named_errors(prefix), os.scandir(folder) as entries:
                names = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries]
        except MissingObject:
            return []
        return sorted(name for name in names if name != f"{_TEMPORARY}/" or prefix)

    def delete(self, key: str) -> None:
        with self._named_errors(key):
            self._path(key).unlink(missing_ok=True)

    def sweep(self, older_than_s: float = 86_400.0) -> int:
        """Remove what crashed writers left in `.tmp`; returns how many files went."""
        num_removed = 0
        for path in (self._root / _TEMPORARY).glob("*"):
            try:
                if time.time() - path.stat().st_mtime > older_than_s:
                    path.unlink()
                    num_removed += 1
            except OSError:  # another process swept it, or the directory is read-only: neither matters to readers
                continue
        return num_removed

    def _path(self, key: str) -> Path:
        if key.startswith("/") or ".." in key.split("/"):
            raise StoreUnusable(f"{self.url}: key {key!r} leaves the store")
        return self._root / key

    def _write(self, temporary: Path, data: bytes) -> None:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _temporary(self, path: Path, data: bytes) -> Iterator[Path]:
        _make_directory(path.parent)
        _make_directory(self._root / _TEMPORARY)
        temporary = self._root / _TEMPORARY / f"{os.getpid()}-{uuid.uuid4().hex}"
        try:
            self._write(temporary, data)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _named_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f"{self.url}/{key}"
            if error.errno in _FULL:
                raise StoreFull(f"{where}: {error.strerror}, nothing was committed; needed room for the write") from error
            if error.errno in _ABSENT:
                raise MissingObject(f"{where}: no such object") from error
            raise StoreUnusable(
                f"{where}: {error.strerror or error}, needed a directory we may read, write and hard-link in"
            ) from error


def _make_directory(folder: Path) -> None:
    """Create `folder` and its parents so that they survive a power cut."""
    if folder.is_dir():
        return
    _make_directory(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush_directory(folder.parent)


def _flush_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
