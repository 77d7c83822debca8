"""Two S3 servers: moto's, a mock in this process that runs behind one lock, and a real Ceph radosgw (marker s3)."""

import os
import re
import socket
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import ray
from botocore.loaders import Loader, create_loader
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
POLL_S = 0.02  # between two looks whether the mock is to stop
Fault = Callable[[Application, dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("a test of the store started Ray"))


@pytest.fixture(autouse=True)
def _only_our_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No profile, role or endpoint of the machine that the tests run on; credentials that both servers take."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testtest")


class Mock:
    """moto behind one lock: without it, two conditional PUTs at once may both be accepted, as no real server would.

    Every request is noted in `requests` as 'METHOD path', and meets the next of the faults that are set for its method.
    `signed_by` are the access keys of those that were signed.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.signed_by: list[str] = []
        self.ignores_preconditions = False
        self._faults: dict[str, deque[Fault]] = {}
        self._lock = threading.Lock()
        self._moto = moto_application()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True)
        self._thread.start()

    def fail(self, method: str, *faults: Fault) -> None:
        self._faults.setdefault(method, deque()).extend(faults)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.requests.append(f"{method} {environ['PATH_INFO']}")
        self.signed_by += re.findall(r"Credential=([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
        if self.ignores_preconditions:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        waiting = self._faults.get(method)
        return (
            waiting.popleft()(self._one_at_a_time, environ, start_response)
            if waiting
            else self._one_at_a_time(environ, start_response)
        )

    def _one_at_a_time(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self._lock:
            return list(self._moto(environ, start_response))


@cache
def moto_application() -> Application:
    """One for all mocks: buckets have names of their own."""
    made: Application = DomainDispatcherApplication(create_backend_app)
    return made


class Faults:
    """What can happen to a request on its way; each is handed to `Mock.fail`."""

    @staticmethod
    def answer(status: int, code: str) -> Fault:
        """The server refuses, and has done nothing."""

        def refuse(_: Application, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(f"{status} {code}", [("Content-Type", "application/xml")])
            return [f"<Error><Code>{code}</Code><Message>as the test says</Message></Error>".encode()]

        return refuse

    @staticmethod
    def lose_upload(_: Application, environ: dict[str, Any], __: Callable[..., Any]) -> Iterable[bytes]:
        """The connection breaks when half of the body has arrived."""
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]) // 2)
        return _cut(environ)

    @staticmethod
    def lose_answer(moto: Application, environ: dict[str, Any], _: Callable[..., Any]) -> Iterable[bytes]:
        """Done, but the connection breaks before the client hears of it."""
        moto(environ, lambda *_: None)
        return _cut(environ)

    @staticmethod
    def lose_download(moto: Application, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The connection breaks when half of the answer has been sent."""
        body = b"".join(moto(environ, start_response))
        yield body[: len(body) // 2]
        _cut(environ)

    @staticmethod
    def stall(over: threading.Event) -> Fault:
        """No answer until the test is over, and then none that arrives; nothing is done."""

        def wait(_: Application, environ: dict[str, Any], __: Callable[..., Any]) -> Iterable[bytes]:
            over.wait()
            return _cut(environ)

        return wait


def _cut(environ: dict[str, Any]) -> Iterable[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


@pytest.fixture
def faults() -> type[Faults]:
    return Faults


@pytest.fixture
def mock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mock]:
    server = Mock()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def radosgw(radosgw_server: Any) -> str:
    """The address of a radosgw that lives as long as the tests."""
    radosgw_server.start()
    return str(radosgw_server.url)


@pytest.fixture(params=["mock", pytest.param("radosgw", marks=pytest.mark.s3)])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of the two servers, as the address that AWS_ENDPOINT_URL says."""
    found = request.getfixturevalue(request.param)
    url: str = found.url if isinstance(found, Mock) else found
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return url


@pytest.fixture
def bucket_of(tmp_path: Path) -> Callable[[], str]:
    """Makes a new bucket on the server that AWS_ENDPOINT_URL says."""

    def make() -> str:
        name = f"b-{uuid.uuid4().hex}"
        client().create_bucket(Bucket=name)
        return name

    return make


@pytest.fixture
def bucket(server: str, bucket_of: Callable[[], str]) -> str:
    return bucket_of()


@pytest.fixture
def mock_bucket(mock: Mock, bucket_of: Callable[[], str]) -> str:
    name = bucket_of()
    mock.requests.clear()
    return name


def client() -> Any:
    session = botocore.session.get_session()
    session.register_component("data_loader", descriptions())
    return session.create_client("s3")


@cache
def descriptions() -> Loader:
    """What botocore reads about S3, once for all tests."""
    return create_loader()
