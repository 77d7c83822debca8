"""Schemathesis asks what the OpenAPI document promises: no crash, no answer outside the document, nobody in without a key."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
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
request-timeout = 120 # on a crowded machine too: how fast an answer comes is not asked here
suppress-health-check = ["too_slow"]
reports.ndjson.path = "asked.ndjson"
generation.database = "none"
generation.max-examples = 40
checks.positive_data_acceptance.enabled = false # no schema says that bytes are a picture

[dictionaries] # so that some requests get past the names
shards.values = ["gate", "yard", "gate@1"]
ontologies.values = ["detection.square"]
projects.values = ['''
<View><Image name='image' value='$image'/>
<RectangleLabels name='boxes' toName='image'><Label value='square'/></RectangleLabels></View>
''']

[parameters]
"path.shard_id" = { dictionary = "shards", probability = 0.5 }
"path.ontology" = { dictionary = "ontologies", probability = 0.5 }
"query.ontology" = { dictionary = "ontologies", probability = 0.5 }
"body.shard_ids[*]" = { dictionary = "shards", probability = 0.5 }
"body.ontology" = { dictionary = "ontologies", probability = 0.5 }
"body.answers[*].shard_id" = { dictionary = "shards", probability = 0.5 }
"body.answers[*].ontology" = { dictionary = "ontologies", probability = 0.5 }
"body.rules[*].shard_id" = { dictionary = "shards", probability = 0.5 }
"body.stages[*].model" = { dictionary = "shards", probability = 0.5 }
"body.schema" = { dictionary = "projects", probability = 0.9 }
"body.label_config" = { dictionary = "projects", probability = 0.9 }
"body.project.label_config" = { dictionary = "projects", probability = 0.9 }

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


def asked(report: Path) -> Iterator[tuple[str, str]]:
    """Of every request its operation, and 'positive' or 'negative': as the document says, or against it."""
    with report.open(encoding="utf-8") as lines:
        for line in lines:
            recorded = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
            for case in recorded.get("cases", {}).values():
                yield recorded["label"], case["value"]["meta"]["generation"]["mode"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")
def test_schemathesis_asks_every_operation_and_finds_nothing(url: str, key: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(HOOKS, encoding="utf-8")
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    command = [PROGRAM, "run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key[1]}"]
    said = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout[-5000:] + said.stderr[-2000:]
    paths = httpx.get(f"{url}/openapi.json", headers={"Authorization": f"Bearer {key[1]}"}).json()["paths"]
    requests = list(asked(tmp_path / "asked.ndjson"))
    assert {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods} <= {name for name, _ in requests}
    assert sum(mode == "negative" for _, mode in requests) >= 500
    assert httpx.get(f"{url}/readyz").status_code == 200
