"""Schemathesis asks what the OpenAPI document promises: no crash, no answer outside the document, nobody in without a key."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from services.keys import KeyFile, new_key

pytest.importorskip("schemathesis")
PROGRAM = Path(sys.executable).parent / "schemathesis"
HOOKS = """
import schemathesis

@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
"""

CONFIG = """
hooks = "hooks"
seed = 1
continue-on-failure = true
generation.database = "none"
generation.max-examples = 40
checks.positive_data_acceptance.enabled = false # no schema says that bytes are a picture

[[operations]]
include-path = "/v1/models/{shard_id}/predict-stream"
checks.negative_data_rejection.enabled = false # every body is some lines, and the wrong ones get a problem each
"""


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    """A file with one key that may everything, and its secret."""
    made, secret = new_key("all", ["admin"])
    file = tmp_path / "keys"
    file.write_text(made.line, encoding="utf-8")
    return file, secret


@pytest.fixture
def url(api_here: Callable[..., FastAPI], key: tuple[Path, str]) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(api_here(KeyFile(key[0])), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")
def test_schemathesis_finds_nothing(url: str, key: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(HOOKS, encoding="utf-8")
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    command = [PROGRAM, "run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key[1]}"]
    said = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout[-5000:] + said.stderr[-2000:]
