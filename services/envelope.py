"""What every request goes through: an id, headers that close it to other sites, no error that is not a problem document."""

import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.problems import problem_of_error

__all__ = ["Envelope"]

HEADER = "x-request-id"
CLOSED = {"x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin"}
_log = logging.getLogger(__name__)


class Envelope:
    """ASGI middleware. A request that arrives with an id gets its header from whoever gave it (Serve's proxy does).

    A client that goes before all of its request has arrived is answered nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER)
        scope["request_id"] = _printable(given) if given else uuid.uuid4().hex
        started = False

        async def send_stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(CLOSED if given is not None else {**CLOSED, HEADER: scope["request_id"]})
            await send(message)

        try:
            await self._app(scope, receive, send_stamped)
        except ClientDisconnect:
            _log.info("client gone request_id=%s path=%r", scope["request_id"], scope["path"])
        except Exception as error:
            _log.exception("unexpected error request_id=%s path=%r", scope["request_id"], scope["path"])
            if started:
                raise
            await problem_of_error(Request(scope), error)(scope, receive, send_stamped)


def _printable(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:128]
