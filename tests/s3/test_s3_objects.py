"""What a store is made of, on a mock of S3 and on a real radosgw."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import botocore.session
import pytest

from training.errors import AlreadyExists, MissingObject, StoreDenied, StoreUnusable
from training.store.numbered import append, numbers
from training.store.objects import open_objects, read_each
from training.store.s3 import S3Objects


@pytest.fixture
def objects(bucket: str) -> S3Objects:
    return S3Objects(f"s3://{bucket}/pro/ject")


def test_a_url_of_s3_opens_such_objects(bucket: str) -> None:
    assert isinstance(open_objects(f"s3://{bucket}/x/"), S3Objects)
    assert open_objects(f"s3://{bucket}/x/").url == f"s3://{bucket}/x"


def test_a_created_key_keeps_its_first_content(objects: S3Objects) -> None:
    objects.create("a/b/one", b"first")
    with pytest.raises(AlreadyExists, match="a/b/one"):
        objects.create("a/b/one", b"second")
    with pytest.raises(AlreadyExists, match="a/b/one"):
        objects.create("a/b/one", b"first")
    assert objects.read("a/b/one") == b"first"


def test_put_replaces_also_what_was_created(objects: S3Objects) -> None:
    objects.create("a/one", b"first")
    objects.put("a/one", b"second")
    objects.put("a/two", b"")
    assert (objects.read("a/one"), objects.read("a/two")) == (b"second", b"")
    with pytest.raises(AlreadyExists):
        objects.create("a/one", b"third")


def test_a_missing_key_is_named(objects: S3Objects) -> None:
    assert not objects.exists("a/none")
    with pytest.raises(MissingObject, match="a/none"):
        objects.read("a/none")


def test_deleting_is_forgetting(objects: S3Objects) -> None:
    objects.create("a/one", b"x")
    assert objects.exists("a/one")
    objects.delete("a/one")
    objects.delete("a/one")
    assert not objects.exists("a/one")
    objects.create("a/one", b"y")


def test_prefixes_are_folders_and_a_neighbour_of_the_root_is_not_in_it(objects: S3Objects, bucket: str) -> None:
    for key in ("m/dog/one", "m/dog/deep/er/two", "m/dog2/three", "top", "odd name+ü%20"):
        objects.create(key, b"x")
    S3Objects(f"s3://{bucket}/pro/jectile").create("other", b"x")
    assert objects.keys("") == ["m/dog/deep/er/two", "m/dog/one", "m/dog2/three", "odd name+ü%20", "top"]
    assert objects.keys("m/dog/") == ["m/dog/deep/er/two", "m/dog/one"]
    assert objects.children("") == ["m/", "odd name+ü%20", "top"]
    assert objects.children("m/dog/") == ["deep/", "one"]
    assert objects.keys("nothing/") == objects.children("nothing/") == []
    assert objects.read("odd name+ü%20") == b"x"


def test_a_store_may_be_a_whole_bucket(bucket: str) -> None:
    whole = S3Objects(f"s3://{bucket}")
    whole.create("a/one", b"x")
    assert (whole.keys(""), whole.children(""), whole.read("a/one")) == (["a/one"], ["a/"], b"x")


def test_a_folder_that_a_console_made_is_no_object(objects: S3Objects, bucket: str) -> None:
    objects.create("a/one", b"x")
    botocore.session.get_session().create_client("s3").put_object(Bucket=bucket, Key="pro/ject/a/", Body=b"")
    assert objects.keys("") == ["a/one"]
    assert objects.children("a/") == ["one"]


def test_listings_go_beyond_the_thousand_keys_of_one_answer(objects: S3Objects) -> None:
    names = [f"{number:04d}" for number in range(1003)]
    with ThreadPoolExecutor(16) as writers:
        list(writers.map(lambda name: objects.put(f"many/{name}/one", name.encode()), names))
    assert objects.children("many/") == [f"{name}/" for name in names]
    assert objects.keys("many/") == [f"many/{name}/one" for name in names]
    assert list(read_each(objects, objects.keys("many/")[-40:])) == [name.encode() for name in names[-40:]]


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
def test_keys_cannot_leave_the_root(objects: S3Objects, key: str) -> None:
    with pytest.raises(StoreUnusable, match="leaves the store"):
        objects.create(key, b"x")


def test_of_many_writers_exactly_one_creates(objects: S3Objects) -> None:
    writers = [S3Objects(objects.url) for _ in range(8)]
    for turn in range(5):
        won: list[int] = []
        together = threading.Barrier(len(writers))

        def create(number: int, turn: int = turn, won: list[int] = won, together: threading.Barrier = together) -> None:
            together.wait()
            try:
                writers[number].create(f"contested/{turn}", bytes([number]) * 10_000)
                won.append(number)
            except AlreadyExists:
                return

        with ThreadPoolExecutor(len(writers)) as pool:
            list(pool.map(create, range(len(writers))))
        assert len(won) == 1
        assert objects.read(f"contested/{turn}") == bytes(won) * 10_000


def test_writers_that_append_at_once_lose_nothing(objects: S3Objects) -> None:
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda number: append(objects, "parts/", ".txt", b"%d" % number), range(30)))
    assert sorted(taken) == numbers(objects, "parts/", ".txt") == list(range(1, 31))
    assert [objects.read(f"parts/{number:04d}.txt") for number in taken] == [b"%d" % number for number in range(30)]


def test_a_large_object_is_one_put_and_leaves_no_upload_open(objects: S3Objects, bucket: str) -> None:
    data = bytes(range(256)) * 100_000
    objects.create("weights", data)
    with pytest.raises(AlreadyExists):
        objects.create("weights", data[::-1])
    assert objects.read("weights") == data
    found = botocore.session.get_session().create_client("s3").head_object(Bucket=bucket, Key="pro/ject/weights")
    assert "-" not in found["ETag"]  # an upload in parts says how many
    assert "Uploads" not in botocore.session.get_session().create_client("s3").list_multipart_uploads(Bucket=bucket)


def test_what_one_put_does_not_take_is_refused(objects: S3Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.store.s3._LARGEST_PUT_BYTES", 10)
    for write in (objects.create, objects.put):
        with pytest.raises(StoreUnusable, match=r"weights: 11 bytes, needed at most 10"):
            write("weights", b"x" * 11)
    assert not objects.exists("weights")


def test_a_bucket_that_is_not_there_is_named(server: str) -> None:
    nowhere = S3Objects("s3://there-is-no-such-bucket/x")
    for ask in (lambda: nowhere.create("one", b"x"), lambda: nowhere.read("one"), lambda: nowhere.keys("")):
        with pytest.raises(StoreUnusable, match=r"there-is-no-such-bucket/x.*no such bucket"):
            ask()


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://Not_A_Bucket!/x"])
def test_a_url_that_is_no_bucket_is_refused(server: str, url: str) -> None:
    with pytest.raises(StoreUnusable, match="needed s3://bucket/path"):
        S3Objects(url).read("one")


@pytest.mark.s3
def test_a_wrong_secret_is_refused(radosgw: str, monkeypatch: pytest.MonkeyPatch, bucket_of: Callable[[], str]) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", radosgw)
    name = bucket_of()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreDenied, match="403 SignatureDoesNotMatch"):
        S3Objects(f"s3://{name}/x").read("one")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(StoreDenied, match="403 InvalidAccessKeyId"):
        S3Objects(f"s3://{name}/x").create("one", b"x")
