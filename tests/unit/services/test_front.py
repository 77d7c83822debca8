"""What Serve's proxy says in our stead."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp

from services.front import Front

Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(told: Any) -> Ask:
    return partial(asked, told)


def asked(told: Any, inner: ASGIApp, path: str = "/v1/models") -> httpx.Response:
    app: Any = Front(inner, told)

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(get())


async def silent(*_: Any) -> None:
    """As the proxy is when the replica that had the request dies."""


def test_a_request_whose_ingress_died_is_503_and_may_be_sent_again(ask: Ask, told: Any) -> None:
    response = ask(silent)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) > 0
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert response.json()["instance"] == "/v1/models"
    assert told.total("micromodels_refusals", where="proxy", reason="503") == 1


def test_a_client_that_is_gone_is_answered_nothing_and_no_refusal(told: Any) -> None:
    async def listening(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    messages = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    front: Any = Front(listening, told)
    asyncio.run(front({"type": "http", "path": "/v1/models/a/predict", "method": "POST", "headers": []}, receive, send))
    assert (sent, told.series) == ([], {})


@pytest.mark.parametrize(("status", "kind"), [(503, "service-unavailable"), (429, "too-many-requests"), (404, "not-found")])
def test_an_error_in_plain_text_becomes_a_problem_and_keeps_when_to_come_back(
    ask: Ask, told: Any, status: int, kind: str
) -> None:
    response = ask(PlainTextResponse("Request dropped due to backpressure", status, {"retry-after": "7", "x-request-id": "a-1"}))
    assert (response.status_code, response.json()["type"]) == (status, f"urn:micromodels:{kind}")
    assert response.headers["retry-after"] == "7"
    assert response.headers.get_list("x-request-id") == ["a-1"]
    assert "backpressure" not in response.text
    assert told.total("micromodels_refusals", where="proxy", reason=str(status)) == (status != 404)


def test_what_the_application_says_goes_through_as_it_is(ask: Ask, told: Any) -> None:
    problem = JSONResponse({"status": 422}, 422, media_type="application/problem+json")
    assert ask(problem).json() == {"status": 422}
    assert ask(StreamingResponse(iter(["a\n", "b\n"]))).text == "a\nb\n"
    assert ask(PlainTextResponse("down", 503), "/-/healthz").text == "down"
    assert told.series == {}
