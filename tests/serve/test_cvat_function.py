"""CVAT's auto-annotation function against a service with keys, over a socket."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

pytest.importorskip("cvat_sdk")

from cvat_sdk.auto_annotation import BadFunctionError

from services import cvat_function
from services.keys import KeyFile, new_key

CONTEXT: Any = SimpleNamespace(frame_name="3.jpg", conf_threshold=None, conv_mask_to_poly=False)


@pytest.fixture
def secret(tmp_path: Path) -> str:
    made, secret = new_key("cvat", ["read", "predict"])
    (tmp_path / "keys").write_text(made.line, encoding="utf-8")
    return secret


@pytest.fixture
def url(api_here: Callable[..., FastAPI], secret: str, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(api_here(KeyFile(tmp_path / "keys")), log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_the_function_declares_the_classes_of_the_shard_and_finds_its_objects(
    url: str, secret: str, world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cvat_function.KEY, secret)
    function = cvat_function.create(f"{url}/", shard="gate@1")
    assert [(label.name, label.type) for label in function.spec.labels] == [("square", "rectangle")]
    (tmp_path / "3.jpg").write_bytes(world.picture("gate", 3))
    (found,) = function.detect(CONTEXT, Image.open(tmp_path / "3.jpg"))
    assert found.points == pytest.approx([28, 17, 52, 41], abs=4)


def test_refusals_of_the_service_are_told_in_its_words(url: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadFunctionError, match="401, no key"):
        cvat_function.create(url, shard="gate")
    monkeypatch.setenv(cvat_function.KEY, secret)
    with pytest.raises(BadFunctionError, match="404, nowhere"):
        cvat_function.create(url, shard="nowhere")
    with pytest.raises(BadFunctionError, match="404, none-such"):
        cvat_function.create(url, ontology="none-such")


def test_a_service_that_does_not_answer_is_said(free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvat_function, "NUM_RETRIES", 0)
    with pytest.raises(BadFunctionError, match="needed a service that answers"):
        cvat_function.create(f"http://127.0.0.1:{free_port()}", shard="gate")
