"""What can go wrong between a store and its server, on a mock of S3 that is told to fail."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from training.errors import AlreadyExists, StoreDenied, StoreFull, StoreUnreachable, StoreUnusable
from training.store.numbered import append, numbers
from training.store.s3 import S3Objects
from training.store.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were slept between attempts, in order; nobody really sleeps."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setattr("random.random", lambda: 1.0)  # the upper end of every random wait
    return slept


@pytest.fixture
def objects(mock_bucket: str, waits: list[float]) -> S3Objects:
    return S3Objects(f"s3://{mock_bucket}/x")


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the test ends, so that requests that hang are let go."""
    event = threading.Event()
    yield event
    event.set()


def open_uploads(bucket: str) -> list[Any]:
    found = botocore.session.get_session().create_client("s3").list_multipart_uploads(Bucket=bucket)
    return list(found.get("Uploads", []))


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (502, "BadGateway")])
def test_a_server_in_trouble_is_asked_again_after_longer_and_longer_waits(
    mock: Any, faults: Any, objects: S3Objects, waits: list[float], status: int, code: str
) -> None:
    for method in ("PUT", "GET"):
        mock.fail(method, *[faults.answer(status, code)] * 3)
    objects.create("one", b"data")
    assert waits == sorted(waits)
    assert len(set(waits)) == 3
    assert objects.read("one") == b"data"
    assert len(mock.requests) == 8


def test_a_server_that_stays_in_trouble_is_named_and_nothing_is_there(
    mock: Any, faults: Any, objects: S3Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    patient = S3Objects(objects.url)
    mock.fail("PUT", *[faults.answer(503, "SlowDown")] * 2)
    with pytest.raises(StoreUnreachable, match=r"x/one: 503 SlowDown, as the test says, after 2 attempts"):
        patient.create("one", b"data")
    assert len(mock.requests) == 2
    assert not patient.exists("one")
    patient.create("one", b"data")


def test_a_slow_answer_is_asked_for_again(mock: Any, faults: Any, mock_bucket: str, over: threading.Event) -> None:
    objects = S3Objects(f"s3://{mock_bucket}/x", read_timeout_s=0.5)
    mock.fail("PUT", faults.stall(over))
    objects.create("one", b"data")
    mock.fail("GET", faults.stall(over))
    assert objects.read("one") == b"data"


def test_a_server_that_never_answers_is_named(
    mock: Any, faults: Any, mock_bucket: str, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    objects = S3Objects(f"s3://{mock_bucket}/x", read_timeout_s=0.2)
    for method, ask in (("PUT", lambda: objects.put("one", b"data")), ("GET", lambda: objects.read("one"))):
        mock.fail(method, *[faults.stall(over)] * 2)
        with pytest.raises(StoreUnreachable, match=r"x/one: Read timeout.*needed a server that answers"):
            ask()
    assert len(mock.requests) == 4


def test_a_connection_lost_in_mid_upload_is_tried_again_and_the_object_is_whole(
    mock: Any, faults: Any, objects: S3Objects, mock_bucket: str
) -> None:
    data = os.urandom(3_000_000)
    mock.fail("PUT", faults.lose_upload, faults.lose_upload)
    objects.create("weights", data)
    assert objects.read("weights") == data
    assert open_uploads(mock_bucket) == []


def test_a_connection_that_is_always_lost_leaves_nothing_behind(
    mock: Any, faults: Any, objects: S3Objects, mock_bucket: str
) -> None:
    mock.fail("PUT", *[faults.lose_upload] * 5)
    with pytest.raises(StoreUnreachable, match=r"x/weights: .*needed a server that answers"):
        objects.create("weights", os.urandom(3_000_000))
    assert objects.keys("") == []
    assert open_uploads(mock_bucket) == []


def test_a_writer_killed_in_mid_upload_leaves_nothing_behind(mock: Any, faults: Any, mock_bucket: str) -> None:
    Store.create(f"s3://{mock_bucket}/x")
    program = [
        "import sys, torch",
        "from training.store.card import Card",
        "from training.store.store import Store",
        "card = Card(shard_id='dog', ontology='detection.dog', task='detection', classes=('dog',), fit_key='a')",
        "Store.open(sys.argv[1]).registry.publish(card, {'weight': torch.zeros(500_000)})",
    ]
    killed = threading.Event()

    def kill(moto: Any, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if not environ["PATH_INFO"].endswith("weights.safetensors"):  # the test of the server as the store is opened
            mock.fail("PUT", kill)
            return moto(environ, start_response)
        environ["wsgi.input"].read(1_000_000)
        child.kill()
        killed.set()
        return faults.lose_upload(moto, {**environ, "CONTENT_LENGTH": "0"}, start_response)

    mock.fail("PUT", kill)
    child = subprocess.Popen(
        [sys.executable, "-c", "\n".join(program), f"s3://{mock_bucket}/x"], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert child.wait() == -signal.SIGKILL
    assert killed.is_set()
    assert S3Objects(f"s3://{mock_bucket}/x").keys("") == ["store.json"]
    assert open_uploads(mock_bucket) == []


def test_a_download_that_breaks_off_is_read_again(mock: Any, faults: Any, objects: S3Objects) -> None:
    data = os.urandom(1_000_000)
    objects.create("weights", data)
    mock.fail("GET", faults.lose_download, faults.lose_download)
    assert objects.read("weights") == data


def test_a_download_that_always_breaks_off_is_named(mock: Any, faults: Any, objects: S3Objects) -> None:
    objects.create("weights", os.urandom(1_000_000))
    mock.fail("GET", *[faults.lose_download] * 5)
    with pytest.raises(StoreUnreachable, match="x/weights"):
        objects.read("weights")


def test_a_create_whose_answer_was_lost_knows_its_own_object(mock: Any, faults: Any, objects: S3Objects) -> None:
    mock.fail("PUT", faults.lose_answer)
    objects.create("one", b"mine")
    assert objects.read("one") == b"mine"
    with pytest.raises(AlreadyExists):
        objects.create("one", b"mine")


def test_an_append_whose_answer_was_lost_is_there_once(mock: Any, faults: Any, objects: S3Objects) -> None:
    mock.fail("PUT", faults.lose_answer)
    assert append(objects, "parts/", ".txt", b"data") == 1
    assert numbers(objects, "parts/", ".txt") == [1]


def test_in_a_storm_of_faults_every_append_is_there_once_and_in_order(mock: Any, faults: Any, objects: S3Objects) -> None:
    rng = random.Random(7)
    kinds = [faults.answer(500, "InternalError"), faults.answer(503, "SlowDown"), faults.lose_upload, faults.lose_answer]
    for number in range(1, 26):
        mock.fail("PUT", *rng.choices(kinds, k=rng.randrange(5)))
        assert append(objects, "parts/", ".txt", b"%d" % number) == number
    assert numbers(objects, "parts/", ".txt") == list(range(1, 26))
    assert [objects.read(f"parts/{number:04d}.txt") for number in range(1, 26)] == [b"%d" % number for number in range(1, 26)]


def test_a_conflict_with_a_writer_that_came_to_nothing_is_tried_again(mock: Any, faults: Any, objects: S3Objects) -> None:
    mock.fail("PUT", faults.answer(409, "ConditionalRequestConflict"))
    objects.create("one", b"mine")
    mock.fail("PUT", faults.answer(409, "ConditionalRequestConflict"))
    with pytest.raises(AlreadyExists):
        objects.create("one", b"other")
    mock.fail("PUT", *[faults.answer(409, "ConditionalRequestConflict")] * 5)
    with pytest.raises(StoreUnreachable, match="x/two: 5 conflicts in a row"):
        objects.create("two", b"mine")


@pytest.mark.parametrize(
    ("status", "code", "expected", "advice"),
    [
        (403, "AccessDenied", StoreDenied, "needed credentials that may do this"),
        (400, "ExpiredToken", StoreDenied, "needed credentials that may do this"),
        (403, "QuotaExceeded", StoreFull, "needed room"),
        (507, "InsufficientStorage", StoreFull, "needed room"),
        (411, "MissingContentLength", StoreUnusable, "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
        (400, "InvalidStorageClass", StoreUnusable, "needed a bucket we may read and write"),
    ],
)
def test_what_servers_refuse_has_a_name(
    mock: Any, faults: Any, objects: S3Objects, status: int, code: str, expected: type[Exception], advice: str
) -> None:
    mock.fail("PUT", *[faults.answer(status, code)] * 5)
    with pytest.raises(expected, match=rf"^s3://.*/x/one: {status} {code}, as the test says; .*{advice}") as caught:
        objects.create("one", b"data")
    assert type(caught.value) is expected
    assert objects.keys("") == []


def test_a_server_that_is_not_there_is_named(mock_bucket: str, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreUnreachable, match=r"store\.json: Could not connect.*127\.0\.0\.1:1.*AWS_ENDPOINT_URL"):
        Store.open(f"s3://{mock_bucket}/x")
    assert len(waits) == 4
