import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from training.errors import AlreadyExists, MissingExtra, MissingObject, StoreDenied, StoreFull, StoreUnusable
from training.store.local import LocalObjects
from training.store.objects import ObjectStore, open_objects, read_each
from training.store.preconditions import check_preconditions
from training.store.remote import FsspecObjects


@pytest.fixture(params=["local", "fsspec"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    return open_objects(str(tmp_path / "root") if request.param == "local" else f"memory://{uuid.uuid4().hex}/root")


def test_a_created_key_keeps_its_first_content(objects: ObjectStore) -> None:
    objects.create("a/b/one", b"first")
    with pytest.raises(AlreadyExists, match="a/b/one"):
        objects.create("a/b/one", b"second")
    assert objects.read("a/b/one") == b"first"


def test_put_replaces(objects: ObjectStore) -> None:
    objects.put("a/one", b"first")
    objects.put("a/one", b"second")
    assert objects.read("a/one") == b"second"


def test_a_missing_key_is_named(objects: ObjectStore) -> None:
    assert not objects.exists("a/none")
    for key in ("a/none", "none"):
        with pytest.raises(MissingObject, match=key):
            objects.read(key)


def test_listing_goes_to_any_depth_and_prefixes_are_folders(objects: ObjectStore) -> None:
    for key in ("m/dog/one", "m/dog/deep/er/two", "m/dog2/three", "top"):
        objects.create(key, b"x")
    assert objects.keys("") == ["m/dog/deep/er/two", "m/dog/one", "m/dog2/three", "top"]
    assert objects.keys("m/dog/") == ["m/dog/deep/er/two", "m/dog/one"]
    assert objects.children("") == ["m/", "top"]
    assert objects.children("m/dog/") == ["deep/", "one"]
    assert objects.keys("nothing/") == objects.children("nothing/") == []


def test_deleting_is_forgetting(objects: ObjectStore) -> None:
    objects.create("a/one", b"x")
    objects.delete("a/one")
    objects.delete("a/one")
    assert not objects.exists("a/one")
    objects.create("a/one", b"y")


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
def test_keys_cannot_leave_the_root(objects: ObjectStore, key: str) -> None:
    with pytest.raises(StoreUnusable, match="leaves the store"):
        objects.create(key, b"x")


def test_many_objects_are_read_in_the_order_given(objects: ObjectStore) -> None:
    keys = [f"k/{number:03d}" for number in range(40)]
    for key in keys:
        objects.create(key, key.encode())
    assert list(read_each(objects, keys[::-1])) == [key.encode() for key in keys[::-1]]
    assert list(read_each(objects, [])) == []


def test_reading_many_objects_runs_only_a_little_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects, read = LocalObjects(tmp_path), list[str]()
    monkeypatch.setattr(objects, "read", lambda key: read.append(key) or key.encode())
    found = read_each(objects, [f"{number:03d}" for number in range(400)])
    assert [next(found) for _ in range(3)] == [b"000", b"001", b"002"]
    assert len(read) < 40
    assert len(list(found)) == 397


def test_of_many_threads_exactly_one_creates(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    won: list[int] = []

    def create(number: int) -> None:
        try:
            objects.create("contested", bytes([number]) * 1000)
            won.append(number)
        except AlreadyExists:
            return

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert objects.read("contested") == bytes(won) * 1000
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_leftovers_of_crashed_writers_are_not_listed_and_old_ones_are_swept(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.create("one", b"x")
    old, new = tmp_path / ".tmp" / "old", tmp_path / ".tmp" / "new"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert objects.keys("") == ["one"]
    assert objects.sweep() == 1
    assert new.exists()
    assert not old.exists()


def test_a_disk_without_room_keeps_what_put_would_have_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = LocalObjects(tmp_path)
    objects.put("one", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull, match="No space left"):
        objects.put("one", b"new")
    monkeypatch.undo()
    assert objects.read("one") == b"old"
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_filesystem_without_hard_links_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreUnusable, match="hard-link"):
        LocalObjects(tmp_path).create("one", b"x")


def test_a_server_that_creates_what_exists_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    plain = MemoryFileSystem.pipe_file
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", lambda self, path, value, mode="overwrite": plain(self, path, value))
    objects = open_objects(f"memory://{uuid.uuid4().hex}")
    objects.put("one", b"x")
    with pytest.raises(StoreUnusable, match="If-None-Match"):
        check_preconditions(objects, "one", b"x")


def test_a_server_that_keeps_what_exists_is_let_in_and_nothing_changes(objects: ObjectStore) -> None:
    objects.create("one", b"x")
    check_preconditions(objects, "one", b"x")
    assert objects.keys("") == ["one"]


@pytest.mark.parametrize("url", ["nosuch://bucket/x"])
def test_an_unknown_protocol_is_named(url: str) -> None:
    with pytest.raises(StoreUnusable, match="nosuch"):
        FsspecObjects(url)


def test_a_protocol_whose_package_is_absent_is_a_missing_extra() -> None:
    with pytest.raises((MissingExtra, StoreUnusable), match="dropbox"):
        FsspecObjects("dropbox://x/y")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device"), StoreFull),
        (PermissionError(13, "Forbidden"), StoreDenied),
        (OSError(5, "Input/output error"), StoreUnusable),
    ],
)
def test_what_filesystems_answer_gets_its_name(
    monkeypatch: pytest.MonkeyPatch, error: OSError, expected: type[Exception]
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    objects = FsspecObjects(f"memory://{uuid.uuid4().hex}")

    def answer(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", answer)
    with pytest.raises(expected, match=f"some/key.*{error.strerror}") as caught:
        objects.create("some/key", b"x")
    assert type(caught.value) is expected
