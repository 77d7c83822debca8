"""`serve` as people start it: it answers, and Ctrl-C ends it."""

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from training.store.store import Store


def test_serve_answers_until_ctrl_c(tmp_path: Path) -> None:
    store = Store.create(str(tmp_path / "store"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    words = [sys.executable, "-m", "cluster", "serve", "--store", store.url, "--port", str(port)]
    server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        said = next((line for line in server.stderr if line.startswith("serving")), "")
        assert f"http://127.0.0.1:{port}" in said
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"http://127.0.0.1:{port}/healthz", timeout=60) as response:
            assert response.status == 200
    finally:
        server.send_signal(signal.SIGINT)
        _, rest = server.communicate(timeout=120)
    assert server.returncode == 130, rest
    assert "Traceback" not in rest
