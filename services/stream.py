"""Many pictures in one request, a JSON line each, answered line by line in their order while others still arrive."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.answering import Answer
from services.body import limited, parsed
from services.payload import Picture, decode_base64, measured
from services.problems import as_problem
from services.schemas import ImageLabels, ModelUsed, Problem
from services.settings import Settings
from training.errors import MicroModelError, TooLarge
from training.store.card import Card

__all__ = ["AnswerLine", "PictureLine", "Stream"]

MEDIA_TYPE = "application/x-ndjson"
AHEAD = 8  # pictures of one stream that are under way at once; the body is read no further
NEEDED = '{"id": "…", "image": "base64…"}'
_AROUND = 1024  # bytes of a line beside the picture
_log = logging.getLogger(__name__)
Ask = Callable[[list[Picture]], Awaitable[tuple[Card, Answer]]]


class PictureLine(BaseModel):
    """A line of the request."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(default=None, max_length=200, description="Comes back with the answer")
    image: str = Field(description="An encoded picture (JPEG, PNG, …) as base64 or as a data: URL")


class AnswerLine(BaseModel):
    """A line of the answer: `image` or `problem`."""

    position: int = Field(description="Of the line in the request, from 0; empty lines are not counted")
    id: str | None = None
    model: ModelUsed
    image: ImageLabels | None = None
    problem: Problem | None = None


class Stream(Response):
    """Reads the body of `request` and answers it at the same time.

    A line that cannot be answered gets a problem of its own and the others go on; a body that passes a limit ends in one.
    """

    media_type = MEDIA_TYPE

    def __init__(self, request: Request, settings: Settings, model: ModelUsed, min_score: float, ask: Ask) -> None:
        """model: whose answers are wanted. ask: who answered one picture and what, or the error that its line gets."""
        self.status_code, self.background = 200, None
        self.init_headers()
        del self.headers["content-length"]
        self._request = limited(request, settings.max_stream_bytes, settings.stream_timeout_s)
        self._settings, self._model, self._min_score, self._ask = settings, model, min_score, ask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        under_way: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(AHEAD)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(group, under_way))
            while (answering := await under_way.get()) is not None:
                await send({"type": "http.response.body", "body": await answering, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _read(self, group: asyncio.TaskGroup, under_way: asyncio.Queue[asyncio.Task[bytes] | None]) -> None:
        position = 0
        try:
            async for line in self._lines():
                if position == self._settings.max_stream_images:
                    raise TooLarge(f"more than {position} pictures in one stream")
                await under_way.put(group.create_task(self._answered(position, line)))
                position += 1
        except MicroModelError as error:
            await under_way.put(group.create_task(self._refused(position, error)))
        except ClientDisconnect:
            pass  # nobody reads what is still answered
        await under_way.put(None)

    async def _lines(self) -> AsyncIterator[bytes]:
        most, parts, num_bytes = self._settings.max_image_bytes * 4 // 3 + _AROUND, [b""], 0
        async for chunk in self._request.stream():
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                if line := b"".join([*parts, end]).strip():
                    yield line
                parts, num_bytes = [], 0
            parts.append(rest)
            num_bytes += len(rest)
            if num_bytes > most:
                raise TooLarge(f"a line of more than {most} bytes")
        if line := b"".join(parts).strip():
            yield line

    async def _answered(self, position: int, line: bytes) -> bytes:
        given = None
        try:
            given = await asyncio.to_thread(parsed, PictureLine, line, self._settings, needed=NEEDED)
            card, answer = await self._ask([await asyncio.to_thread(self._picture, given.image, position)])
            image = ImageLabels.of(answer.labels[0], answer.sizes_wh[0], self._min_score, answer.keypoint_names)
            return self._line(AnswerLine(position=position, id=given.id, model=ModelUsed.of(card), image=image))
        except Exception as error:
            if not isinstance(error, MicroModelError):
                _log.exception("unexpected error request_id=%s line=%d", self._request.scope.get("request_id"), position)
            return await self._refused(position, error, None if given is None else given.id)

    async def _refused(self, position: int, error: Exception, name: str | None = None) -> bytes:
        problem = as_problem(self._request, error)
        return self._line(AnswerLine(position=position, id=name, model=self._model, problem=problem))

    def _picture(self, image: str, position: int) -> Picture:
        name = f"line {position}"
        return measured(decode_base64(image, name), name, self._settings)

    def _line(self, line: AnswerLine) -> bytes:
        return line.model_dump_json(exclude_none=True).encode() + b"\n"
