"""Objects of an S3 bucket; a commit is one PUT with If-None-Match."""

import time
import uuid
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, FlexibleChecksumError, HTTPClientError, IncompleteReadError
from botocore.loaders import Loader, create_loader

from training.errors import AlreadyExists, MissingObject, StoreUnreachable, StoreUnusable
from training.store.s3_answers import named_answers, status_of

__all__ = ["S3Objects"]

_LARGEST_PUT_BYTES = 5 * 2**30
_NUM_TRIES = 5
_CONFLICT = (409, 412)
_NUM_CONNECTIONS = 32  # threads that share one client wait for one another beyond that


class S3Objects:
    """Keys are object names below s3://bucket/prefix; credentials, endpoint and retries come from the usual AWS settings.

    An object is one PUT and never an upload in parts: servers ignore preconditions there, and a killed upload leaves parts.
    What threads of one process do goes through one client; a listing is strongly consistent, as S3 is.

    Raises:
        StoreUnusable: the URL or the AWS settings cannot be understood.
    """

    def __init__(self, url: str, *, read_timeout_s: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self._bucket, _, prefix = self.url.partition("://")[2].partition("/")
        self._root = f"{prefix}/" if prefix else ""
        if not self._bucket:
            raise StoreUnusable(f"{url}: no bucket, needed s3://bucket/path")
        config = Config(connect_timeout=5.0, read_timeout=read_timeout_s, max_pool_connections=_NUM_CONNECTIONS)
        with named_answers(self.url):
            session = botocore.session.get_session()
            session.register_component("data_loader", _descriptions(session.get_config_variable("data_path")))
            self._client: Any = session.create_client("s3", config=config)

    def create(self, key: str, data: bytes) -> None:
        writer = uuid.uuid4().hex
        for attempt in range(_NUM_TRIES):
            if self._put_if_free(key, data, writer):
                return
            there = self._writer(key)
            if there == writer:  # an earlier attempt of this very call, whose answer was lost on the way
                return
            if there is not None:
                raise AlreadyExists(f"{self._where(key)}: already there, needed a free name")
            _wait(attempt)  # somebody else's write was under way and came to nothing, or was deleted since
        raise StoreUnreachable(f"{self._where(key)}: {_NUM_TRIES} conflicts in a row, needed a name nobody fights for")

    def put(self, key: str, data: bytes) -> None:
        self._put(key, data)

    def read(self, key: str) -> bytes:
        with named_answers(self._where(key)):
            for attempt in range(_NUM_TRIES):
                body = self._client.get_object(**self._object(key))["Body"]
                try:
                    return bytes(body.read())
                except (HTTPClientError, IncompleteReadError, FlexibleChecksumError):  # lost or damaged on the way
                    if attempt == _NUM_TRIES - 1:
                        raise
                    _wait(attempt)
        raise AssertionError("the last try returns or raises")

    def exists(self, key: str) -> bool:
        try:
            self._head(key)
        except MissingObject:
            return False
        return True

    def keys(self, prefix: str) -> list[str]:
        found = (item["Key"] for page in self._pages(prefix) for item in page.get("Contents", ()))
        return sorted(name.removeprefix(self._root) for name in found if not name.endswith("/"))

    def children(self, prefix: str) -> list[str]:
        folder = self._root + prefix
        names: list[str] = []
        for page in self._pages(prefix, Delimiter="/"):
            names += (item["Key"] for item in page.get("Contents", ()))
            names += (item["Prefix"] for item in page.get("CommonPrefixes", ()))
        return sorted(name.removeprefix(folder) for name in names if name != folder)

    def delete(self, key: str) -> None:
        with named_answers(self._where(key)):
            self._client.delete_object(**self._object(key))

    def _put_if_free(self, key: str, data: bytes, writer: str) -> bool:
        """False when the server speaks of a conflict: taken, or somebody else is writing it just now."""
        try:
            self._put(key, data, IfNoneMatch="*", Metadata={"writer": writer})
        except StoreUnusable as error:
            if isinstance(error.__cause__, ClientError) and status_of(error.__cause__) in _CONFLICT:
                return False
            raise
        return True

    def _put(self, key: str, data: bytes, **conditions: Any) -> None:
        if len(data) > _LARGEST_PUT_BYTES:
            raise StoreUnusable(f"{self._where(key)}: {len(data)} bytes, needed at most {_LARGEST_PUT_BYTES}, one PUT")
        with named_answers(self._where(key)):
            self._client.put_object(**self._object(key), Body=data, **conditions)

    def _writer(self, key: str) -> str | None:
        """Which call created the object, '' if that is not known; None when there is none."""
        try:
            return str(self._head(key)["Metadata"].get("writer", ""))
        except MissingObject:
            return None

    def _head(self, key: str) -> dict[str, Any]:
        with named_answers(self._where(key)):
            found: dict[str, Any] = self._client.head_object(**self._object(key))
        return found

    def _pages(self, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        with named_answers(self._where(prefix)):
            yield from pages.paginate(Bucket=self._bucket, Prefix=self._root + prefix, **options)

    def _object(self, key: str) -> dict[str, str]:
        if key.startswith("/") or ".." in key.split("/"):
            raise StoreUnusable(f"{self.url}: key {key!r} leaves the store")
        return {"Bucket": self._bucket, "Key": self._root + key}

    def _where(self, key: str) -> str:
        return f"{self.url}/{key}"


@cache
def _descriptions(data_path: str | None) -> Loader:
    """What botocore reads about S3 and its endpoints; a session of its own would take a third of a second for it every time."""
    return create_loader(data_path)


def _wait(attempt: int) -> None:
    time.sleep(0.05 * 2**attempt)
