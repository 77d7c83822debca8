import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from services.answering import Answer
from services.api import create_api
from services.catalogue import Catalogue
from services.settings import Settings
from services.stream import AHEAD
from training.errors import HostUnavailable
from training.store.card import Card

STREAM = "/v1/models/garden/predict-stream"
NDJSON = {"content-type": "application/x-ndjson"}


def line(image: bytes | str, **more: Any) -> bytes:
    text = image if isinstance(image, str) else base64.b64encode(image).decode()
    return json.dumps({"image": text, **more}).encode() + b"\n"


def lines(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.text.endswith("\n") or not response.text
    return [json.loads(one) for one in response.text.splitlines()]


def test_every_picture_is_answered_on_a_line_of_its_own_in_order(client: Any, make_picture: Callable[..., bytes]) -> None:
    body = b"".join(line(make_picture(width), id=f"w{width}") for width in range(20, 50))
    answers = lines(client.post(f"{STREAM}?min_score=0.5", content=body, headers=NDJSON))
    assert [one["position"] for one in answers] == list(range(30))
    assert [one["id"] for one in answers] == [f"w{width}" for width in range(20, 50)]
    assert [one["image"]["width"] for one in answers] == list(range(20, 50))
    assert [said["score"] for said in answers[0]["image"]["annotations"]] == [0.9]
    assert answers[0]["model"] == {"shard_id": "garden", "ontology": "detection.fly", "task": "detection", "generation": 1}


@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_lines_may_be_cut_anywhere_and_the_last_needs_no_end(client: Any, png: bytes, cut: int) -> None:
    body = (b"\n" + line(png) + b"\r\n \n" + line(png) + line(png)).rstrip()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), cut):
            yield body[start : start + cut]

    answers = lines(client.post(STREAM, content=pieces(), headers=NDJSON))
    assert [(one["position"], one["image"]["width"]) for one in answers] == [(0, 40), (1, 40), (2, 40)]


def test_a_line_that_cannot_be_answered_has_a_problem_and_the_others_are_answered(client: Any, png: bytes) -> None:
    wrong = [b"{\n", b"[]\n", b'{"picture": "x"}\n', line("%%%", id="b64"), line(b"not a picture"), line("http://10.0.0.1/x.png")]
    body = b"".join(one + line(png) for one in wrong)
    answers = lines(client.post(STREAM, content=body, headers={**NDJSON, "x-request-id": "mine"}))
    kinds = [one["problem"]["type"].rpartition(":")[2] for one in answers[0::2]]
    assert kinds == ["bad-request", "bad-request", "bad-request", "bad-request", "bad-picture", "bad-request"]
    assert answers[6]["id"] == "b64"
    assert {one["problem"]["request_id"] for one in answers[0::2]} == {"mine"}
    assert all("image" not in one for one in answers[0::2])
    assert all(one["image"]["width"] == 40 and "problem" not in one for one in answers[1::2])


@pytest.mark.parametrize("error", [HostUnavailable("secret"), ValueError("secret")])
def test_what_goes_wrong_on_a_host_is_the_problem_of_its_line_alone(
    client: Any, hosts: Any, png: bytes, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = type(hosts).predict

    async def predict(self: Any, card: Card, pictures: Sequence[Any]) -> Answer:
        if pictures[0].name == "line 1":
            raise error
        return await answered(self, card, pictures)

    monkeypatch.setattr(type(hosts), "predict", predict)
    response = client.post(STREAM, content=line(png) * 3, headers=NDJSON)
    answers = lines(response)
    assert ["problem" in one for one in answers] == [False, True, False]
    assert answers[1]["problem"]["status"] == (503 if isinstance(error, HostUnavailable) else 500)
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("limit", "answered", "kind"),
    [
        ({"max_stream_images": 2}, 2, "too-large"),
        ({"max_stream_bytes": 300}, 0, "too-large"),
        ({"max_image_bytes": 50}, 0, "too-large"),
    ],
)
def test_a_limit_ends_the_stream_in_a_problem(
    client_of: Callable[..., Any], png: bytes, limit: dict[str, int], answered: int, kind: str
) -> None:
    answers = lines(client_of(**limit).post(STREAM, content=line(png) * 4, headers=NDJSON))
    assert all("image" in one for one in answers[:answered])
    assert answers[answered]["problem"]["type"] == f"urn:micromodels:{kind}"


def test_a_line_without_an_end_is_given_up_before_it_is_held_whole(client_of: Callable[..., Any]) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(10_000):
            sent += 1000
            yield b"x" * 1000

    (answer,) = lines(client_of(max_image_bytes=3000).post(STREAM, content=endless(), headers=NDJSON))
    assert "a line of more than" in answer["problem"]["detail"]
    assert sent < 10_000


def test_a_body_that_stops_coming_ends_in_a_problem(client_of: Callable[..., Any], png: bytes) -> None:
    async def stops() -> AsyncIterator[bytes]:
        yield line(png)
        await asyncio.sleep(60)

    first, last = lines(client_of(stream_timeout_s=0.2).post(STREAM, content=stops(), headers=NDJSON))
    assert first["image"]["width"] == 40
    assert last["problem"]["status"] == 408


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/models/nobody/predict-stream", NDJSON, 404),
        (STREAM, {"content-type": "application/json"}, 415),
        (f"{STREAM}?min_score=2", NDJSON, 422),
    ],
)
def test_what_is_wrong_with_the_whole_request_is_its_status(
    client: Any, png: bytes, path: str, headers: dict[str, str], status: int
) -> None:
    response = client.post(path, content=line(png), headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_an_empty_stream_has_an_empty_answer(client: Any) -> None:
    assert lines(client.post(STREAM, content=b"\n\n", headers=NDJSON)) == []


def test_answers_leave_while_the_body_still_comes_and_no_more_than_a_few_pictures_are_under_way(
    store: Any, hosts: Any, png: bytes
) -> None:
    """Spoken to in ASGI: one line, its answer, and only then the next; then many lines and no answer from the hosts."""
    settings = Settings(store=store.url, live_ttl_s=0)
    api = create_api(Catalogue(store, ttl_s=0), hosts, settings)
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": STREAM,
        "query_string": b"",
        "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/x-ndjson")],
    }

    answered, stuck, asked = hosts.predict, asyncio.Event(), 0

    async def predict(card: Card, pictures: Sequence[Any]) -> Answer:
        nonlocal asked
        asked += 1
        if asked > 1:
            await stuck.wait()
        return await answered(card, pictures)

    async def talk() -> tuple[dict[str, Any], int]:
        heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        serving = asyncio.create_task(api(scope, said.get, heard.put))  # type: ignore[arg-type]
        await said.put({"type": "http.request", "body": line(png), "more_body": True})
        assert (await heard.get())["type"] == "http.response.start"
        first = json.loads((await heard.get())["body"])
        for _ in range(10 * AHEAD):
            await said.put({"type": "http.request", "body": line(png), "more_body": True})
        async with asyncio.timeout(60):
            while asked <= AHEAD:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        left = said.qsize()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        return first, left

    hosts.predict = predict
    first, left = asyncio.run(talk())
    assert first["image"]["width"] == 40
    assert left >= 8 * AHEAD
