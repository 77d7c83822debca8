"""A host in the process that asks it: no hop to another one, and no copies of pictures on the way."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from services.answering import Answer
from services.host import Host
from services.line_answering import LineAnswer
from services.looking import Asked, Looked
from services.payload import Picture
from services.settings import Settings
from training.errors import TimedOut
from training.lines.ready import ReadyLine
from training.store.card import Card

__all__ = ["NearHost"]

Result = TypeVar("Result")


class NearHost:
    """The same as RemoteHosts to whoever asks."""

    def __init__(self, settings: Settings) -> None:
        self._host, self._timeout_s = Host(settings), settings.request_timeout_s

    async def predict(self, card: Card, pictures: Sequence[Picture]) -> Answer:
        return await self._in_time(self._host.predict(card, pictures))

    async def run_line(self, line: ReadyLine, pictures: Sequence[Picture]) -> LineAnswer:
        return await self._in_time(self._host.run_line(line, pictures))

    async def predict_each(self, asked: Sequence[tuple[Card, Sequence[Picture]]]) -> list[Answer]:
        return await self._in_time(self._host.predict_each(asked))

    async def look(self, asked: Sequence[Asked], ontology: str | None) -> Looked:
        return await self._in_time(self._host.look(asked, ontology))

    async def check(self) -> None:
        await self._in_time(self._host.check())

    async def _in_time(self, answer: Awaitable[Result]) -> Result:
        """Raises TimedOut."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError as error:
            raise TimedOut(f"the host did not answer within {self._timeout_s} s") from error
