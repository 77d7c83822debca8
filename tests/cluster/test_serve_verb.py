"""`serve` as people start it: it answers, and Ctrl-C ends it."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.new_key import add_key
from training.store.store import Store


@contextmanager
def serving(store: Store, port: int, *more: str, **variables: str) -> Iterator[str]:
    """The URL of a running `serve`; at the end of the block it gets a Ctrl-C, and has to end in order."""
    words = [sys.executable, "-m", "cluster", "serve", "--store", store.url, "--port", str(port), *more]
    server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables})
    assert server.stderr is not None
    try:
        said = next((line for line in server.stderr if line.startswith("serving")), "")
        assert f"http://127.0.0.1:{port}" in said
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        _, rest = server.communicate(timeout=120)
    assert server.returncode == 130, rest
    assert "Traceback" not in rest


def status_of(url: str, secret: str | None = None) -> int:
    request = urllib.request.Request(url, headers={} if secret is None else {"Authorization": f"Bearer {secret}"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_serve_answers_until_ctrl_c(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with serving(Store.create(str(tmp_path / "store")), free_port()) as url:
        assert status_of(f"{url}/healthz") == 200


@pytest.mark.slow
def test_behind_haproxy_whoever_has_a_key_is_answered(tmp_path: Path, free_port: Callable[[], int]) -> None:
    secret = add_key(tmp_path / "keys", "reader", ["read"])
    statistics, metrics = str(free_port()), str(free_port())
    where = {"RAY_SERVE_HAPROXY_STATS_PORT": statistics, "RAY_SERVE_HAPROXY_METRICS_PORT": metrics}
    store = Store.create(str(tmp_path / "store"))
    with serving(store, free_port(), "--keys", str(tmp_path / "keys"), RAY_SERVE_ENABLE_HA_PROXY="1", **where) as url:
        assert status_of(f"{url}/healthz") == 200
        assert status_of(f"{url}/v1/models", secret) == 200
        assert status_of(f"{url}/v1/models") == 401
        assert status_of(f"http://127.0.0.1:{metrics}/metrics") == 200, "HAProxy is not there"
