"""One thread of torch for every test, and S3 servers that more than one folder of them needs.

Each server is a process of its own that can be killed and started again.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several processes with two threads each would spin, waiting for each other
S3 = Path(__file__).parent / "s3"


class StorageServer(Protocol):
    """An S3 server at an address that it has before and after it runs; access key test, secret testtest."""

    url: str

    def start(self) -> None:
        """Start it, for the first time or again, with the objects it had; returns when it answers."""

    def kill(self) -> None:
        """SIGKILL."""


class RadosGateway:
    """A real Ceph radosgw, with all that it needs."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, find_free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        if self._pid():
            return
        with (self._folder / "started.log").open("ab") as log:
            if (self._folder / "ceph.conf").exists():
                command: list[str | Path] = ["radosgw", "-n", "client.rgw"]
            else:
                command = [S3 / "start_radosgw.sh", self._folder, str(self._port)]
            environment = {**os.environ, "CEPH_CONF": str(self._folder / "ceph.conf")}
            done = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False)
        assert done.returncode == 0, (self._folder / "started.log").read_text()
        await_port(self._port)

    def kill(self) -> None:
        pid = self._pid()
        assert pid, "radosgw does not run"
        os.kill(pid, signal.SIGKILL)
        while self._pid():
            time.sleep(0.01)

    def stop(self) -> None:
        if (self._folder / "run").exists():
            subprocess.run([S3 / "stop_radosgw.sh", self._folder], check=True)

    def _pid(self) -> int | None:
        file = self._folder / "run" / "client.rgw.pid"
        pid = file.read_text().strip() if file.exists() else ""
        return int(pid) if pid and Path("/proc", pid).exists() else None


class Mock:
    """moto behind one lock, and a front that forwards to it: only the front is killed, for moto keeps its objects in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port, self._port_behind = folder, find_free_port(), find_free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._moto: subprocess.Popen[bytes] | None = None
        self._front: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._moto = self._moto or self._run("serve_mock.py", self._port_behind)
        self._front = self._front or self._run("forward.py", self._port, self._port_behind)

    def kill(self) -> None:
        assert self._front, "the mock does not run"
        self._front.kill()
        self._front.wait()
        self._front = None

    def stop(self) -> None:
        for process in filter(None, (self._front, self._moto)):
            process.kill()
            process.wait()

    def _run(self, script: str, *ports: int) -> subprocess.Popen[bytes]:
        with (self._folder / f"{script}.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, S3 / script, *map(str, ports)], stdout=log, stderr=log)
        await_port(ports[0])
        return process


def what_radosgw_lacks() -> list[str]:
    return [name for name in ("radosgw", "ceph-mon", "ceph-osd", "ceph-mgr", "ceph") if shutil.which(name) is None]


@pytest.fixture(scope="session")
def radosgw_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageServer]:
    """A radosgw that whoever needs it starts, and that ends with the tests; see docs/store.md for what it needs."""
    if missing := what_radosgw_lacks():
        pytest.skip(f"no {', '.join(missing)} here: apt-get install radosgw ceph-mon ceph-osd ceph-mgr ceph-common")
    server = RadosGateway(tmp_path_factory.mktemp("ceph"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mock_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageServer]:
    """A mock that whoever needs it starts, and that ends with the tests."""
    server = Mock(tmp_path_factory.mktemp("mock"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def storage(request: pytest.FixtureRequest) -> StorageServer:
    """The better server of those that can be had: a radosgw, or else the mock."""
    server: StorageServer = request.getfixturevalue("mock_server" if what_radosgw_lacks() else "radosgw_server")
    return server


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Finds a port of this machine that nobody has."""
    return find_free_port


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(port: int, seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"nobody listens on port {port} after {seconds:.0f} s")
