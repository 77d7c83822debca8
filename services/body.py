"""The body of a request: no larger than it may be, and JSON that fits its schema."""

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.types import Message

from services.settings import Settings
from training.errors import BadRequest, TooLarge, TooSlow, UnsupportedMediaType

__all__ = ["check_media_type", "limited", "media_type", "parsed", "read_json"]

Schema = TypeVar("Schema", bound=BaseModel)


async def read_json(request: Request, schema: type[Schema], settings: Settings, *, needed: str) -> Schema:
    """The body as `schema`.

    Args:
        needed: what to say in errors that it should look like.
    Raises:
        UnsupportedMediaType: it is not application/json.
        BadRequest: not JSON, or not of the schema.
        TooLarge: too many bytes or values; reading stops there.
        TooSlow: the body did not arrive in time.
    """
    check_media_type(request, "application/json")
    body = await limited(request, settings.max_request_bytes, settings.body_timeout_s).body()
    return await asyncio.to_thread(parsed, schema, body, settings, needed=needed)


def check_media_type(request: Request, needed: str) -> None:
    """Raises UnsupportedMediaType."""
    found = media_type(request)
    if found != needed:
        raise UnsupportedMediaType(f"content type {found!r:.100}, needed {needed}")


def media_type(request: Request) -> str:
    """Of the body, without parameters, in small letters; '' where none is given."""
    return str(request.headers.get("content-type", "")).partition(";")[0].strip().lower()


def limited(request: Request, max_bytes: int, timeout_s: float) -> Request:
    """The same request, whose body stops with TooLarge once it is known to be so, and with TooSlow when its time is over."""
    refusal = TooLarge(f"the body is larger than {max_bytes} bytes")
    announced = request.headers.get("content-length", "")
    until = asyncio.get_running_loop().time() + timeout_s
    num_bytes = 0

    async def receive() -> Message:
        nonlocal num_bytes
        try:
            async with asyncio.timeout_at(until):
                message = await request.receive()
        except TimeoutError as error:
            raise TooSlow(f"{num_bytes} bytes in {timeout_s} s, needed the whole body") from error
        num_bytes += len(message.get("body", b""))
        if num_bytes > max_bytes or (announced.isdecimal() and int(announced) > max_bytes):
            raise refusal
        return message

    return Request(request.scope, receive)


def parsed(schema: type[Schema], body: bytes, settings: Settings, *, needed: str) -> Schema:
    """
    Raises:
        BadRequest: says the first place that does not fit.
        TooLarge: more values than may be held in memory.
    """
    num_values = sum(body.count(sign) for sign in (b",", b"[", b"{"))
    if num_values > settings.max_json_values:
        raise TooLarge(f"about {num_values} JSON values, needed at most {settings.max_json_values}")
    try:
        return schema.model_validate_json(body, strict=True)  # true is no number, and "5" neither
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"])[:100] or "the body"
        raise BadRequest(f"{where}: {first['msg']}; needed {needed}") from error
