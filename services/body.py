"""The body of a request: no larger than it may be, and JSON that fits its schema."""

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.types import Message

from services.settings import Settings
from training.errors import BadRequest, TooLarge, UnsupportedMediaType

__all__ = ["limited", "parsed", "read_json"]

Schema = TypeVar("Schema", bound=BaseModel)


async def read_json(request: Request, schema: type[Schema], settings: Settings, *, needed: str) -> Schema:
    """The body as `schema`.

    Args:
        needed: what to say in errors that it should look like.
    Raises:
        UnsupportedMediaType: it is not application/json.
        BadRequest: not JSON, or not of the schema.
        TooLarge: too many bytes; reading stops there.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType(f"content type {media_type!r:.100}, needed application/json")
    body = await limited(request, settings.max_request_bytes).body()
    return await asyncio.to_thread(parsed, schema, body, needed=needed)


def limited(request: Request, max_bytes: int) -> Request:
    """The same request, whose body stops with TooLarge as soon as it is known to pass `max_bytes`."""
    refusal = TooLarge(f"the body is larger than {max_bytes} bytes")
    announced = request.headers.get("content-length", "")
    num_bytes = 0

    async def receive() -> Message:
        nonlocal num_bytes
        message = await request.receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > max_bytes or (announced.isdecimal() and int(announced) > max_bytes):
            raise refusal
        return message

    return Request(request.scope, receive)


def parsed(schema: type[Schema], body: bytes, *, needed: str) -> Schema:
    """Raises BadRequest that says the first place that does not fit."""
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"])[:100] or "the body"
        raise BadRequest(f"{where}: {first['msg']}; needed {needed}") from error
