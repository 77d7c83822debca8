"""Around Serve's HTTP proxy: what it says in our stead becomes a problem document, and an ingress that died is 503.

Serve finds it by the environment of the nodes: RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=services.front:middlewares.
"""

import uuid

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.measures import Meters, RayMeters
from services.problems import MEDIA_TYPE, REFUSALS, problem_of_http

__all__ = ["Front", "middlewares"]

OF_SERVE = "/-/"  # Serve's own health and routes


def middlewares() -> list[Middleware]:
    """What Serve asks for when a proxy starts."""
    return [Middleware(Front, meters=RayMeters())]


class Front:
    """ASGI middleware.

    Serve answers for us where no ingress is free (503), none is there (404), or the one that had the request is gone: then it
    ends without a word. A client that is gone itself is answered nothing, and nothing is counted.
    """

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(OF_SERVE):
            await self._app(scope, receive, send)
            return
        refused: HTTPException | None = HTTPException(503)  # until an answer begins
        gone = False

        async def receive_seen() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        async def send_ours(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                refused = _refusal(message)
            if refused is None:
                await send(message)

        await self._app(scope, receive_seen, send_ours)
        if refused is not None and not gone:
            if refused.status_code in REFUSALS:
                self._meters.count("micromodels_refusals", where="proxy", reason=str(refused.status_code))
            scope.setdefault("request_id", uuid.uuid4().hex)
            response = problem_of_http(Request(scope), refused)
            response.headers.setdefault("x-request-id", scope["request_id"])
            await response(scope, receive, send)


def _refusal(start: Message) -> HTTPException | None:
    """An error that is no problem document, and so not of our application."""
    headers = Headers(raw=start["headers"])
    if start["status"] < 400 or headers.get("content-type", "").startswith(MEDIA_TYPE):
        return None
    kept = ("Retry-After", "x-request-id")
    return HTTPException(start["status"], headers={name: headers[name] for name in kept if name in headers})
