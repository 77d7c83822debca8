"""What Serve's proxy says in our stead."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp

from services.front import middlewares


def ask(inner: ASGIApp, path: str = "/v1/models") -> httpx.Response:
    (front,) = middlewares()
    app: Any = front.cls(inner)

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(asked())


async def silent(*_: Any) -> None:
    """As the proxy is when the replica that had the request dies."""


def test_a_request_whose_ingress_died_is_503_and_may_be_sent_again() -> None:
    response = ask(silent)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert int(response.headers["retry-after"]) > 0
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert response.json()["instance"] == "/v1/models"


@pytest.mark.parametrize(("status", "kind"), [(503, "service-unavailable"), (429, "too-many-requests"), (404, "not-found")])
def test_an_error_in_plain_text_becomes_a_problem_and_keeps_when_to_come_back(status: int, kind: str) -> None:
    response = ask(PlainTextResponse("Request dropped due to backpressure", status, {"retry-after": "7", "x-request-id": "a-1"}))
    assert (response.status_code, response.json()["type"]) == (status, f"urn:micromodels:{kind}")
    assert response.headers["retry-after"] == "7"
    assert response.headers.get_list("x-request-id") == ["a-1"]
    assert "backpressure" not in response.text


def test_what_the_application_says_goes_through_as_it_is() -> None:
    problem = JSONResponse({"status": 422}, 422, media_type="application/problem+json")
    assert ask(problem).json() == {"status": 422}
    assert ask(StreamingResponse(iter(["a\n", "b\n"]))).text == "a\nb\n"
    assert ask(PlainTextResponse("down", 503), "/-/healthz").text == "down"
