"""Objects behind any fsspec URL that honours exclusive creation (s3://… with If-None-Match)."""

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from training.errors import AlreadyExists, MissingExtra, MissingObject, StoreFull, StoreUnusable

__all__ = ["FsspecObjects"]

_CONFLICT = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_FULL = ("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507")
_SINGLE_PUT_BYTES = 4 * 2**30  # some servers ignore preconditions when a multipart upload completes


class FsspecObjects:
    """Keys are object names below `url`; a create is one conditional PUT.

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
            raise StoreUnusable(f"{url}: {error}, needed a directory or s3://bucket/path") from error
        self._root = root.rstrip("/")
        self._single_put = {"chunksize": _SINGLE_PUT_BYTES} if "s3" in self._fs.protocol else {}

    def create(self, key: str, data: bytes) -> None:
        with self._named_errors(key):
            self._fs.pipe_file(self._path(key), data, mode="create", **self._single_put)

    def put(self, key: str, data: bytes) -> None:
        with self._named_errors(key):
            self._fs.pipe_file(self._path(key), data, **self._single_put)

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

    def check_exclusive(self) -> None:
        """Try a second create of one key, which must fail.

        Raises:
            StoreUnusable: it succeeded: two writers could silently overwrite one another on this server.
        """
        key = f"probe/{uuid.uuid4().hex}"
        self.create(key, b"first")
        try:
            self.create(key, b"second")
        except AlreadyExists:
            return
        finally:
            self.delete(key)
        raise StoreUnusable(
            f"{self.url}: the server let an existing object be created again, needed one that honours If-None-Match"
        )

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
        except OSError as error:
            codes = _codes(error)
            if codes.intersection(_CONFLICT):
                raise AlreadyExists(f"{where}: already there, needed a free name") from error
            if error.errno in (errno.ENOSPC, errno.EDQUOT) or codes.intersection(_FULL):
                raise StoreFull(f"{where}: {_one_line(error)}, nothing was committed; needed room for the write") from error
            raise StoreUnusable(f"{where}: {_one_line(error)}, needed a bucket we may read and write") from error
        except Exception as error:  # botocore's own errors: no credentials, no endpoint, refused connection
            if type(error).__module__.split(".")[0] not in ("aiobotocore", "aiohttp", "botocore"):
                raise
            raise StoreUnusable(f"{where}: {_one_line(error)}, needed a reachable server and credentials") from error


def _codes(error: OSError) -> set[str]:
    """Error code and HTTP status an S3 server answered with, if it was one."""
    response: dict[str, Any] = getattr(error.__cause__, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return {str(response.get("Error", {}).get("Code")), str(status)}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
