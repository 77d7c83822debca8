"""Questions of many requests answered together: what arrives during one pass makes up the next."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager

from services.answering import Answer, Question

__all__ = ["Batcher"]

Ask = Callable[[Sequence[Question]], Sequence[Answer | Exception]]


class Batcher:
    """Of one event loop. One pass at a time is under way, and nobody waits while nothing else is on its way.

    answer: called in the executor; an answer or an error for each question, in order.
    most: questions in one pass.
    wait_s: a pass waits so long, at most, for questions that were announced by `coming`.
    """

    def __init__(self, answer: Ask, executor: Executor, *, most: int, wait_s: float) -> None:
        self._answer, self._executor, self._most, self._wait_s = answer, executor, most, wait_s
        self._waiting: deque[tuple[Question, asyncio.Future[Answer | Exception]]] = deque()
        self._num_coming = 0
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    @contextmanager
    def coming(self) -> Iterator[None]:
        """A question is being prepared inside the block; whoever asks it asks right after."""
        self._num_coming += 1
        try:
            yield
        finally:
            self._num_coming -= 1
            self._changed.set()

    async def ask(self, question: Question) -> Answer | Exception:
        """What the host says. A question whose asker has gone (is cancelled) before its pass is not answered."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer | Exception] = loop.create_future()
        self._waiting.append((question, future))
        self._changed.set()
        if self._work is None:
            self._work = loop.create_task(self._passes())
        try:
            return await future
        except asyncio.CancelledError:  # its pictures are not kept for a pass that nobody waits for
            self._waiting = deque(one for one in self._waiting if one[1] is not future)
            raise

    async def _passes(self) -> None:
        try:
            while self._waiting:
                await self._gathered()
                await self._pass()
        finally:
            self._work = None

    async def _gathered(self) -> None:
        """Until the pass is full, nobody else is on the way, or the time is over."""
        until = asyncio.get_running_loop().time() + self._wait_s
        while self._num_coming and len(self._waiting) < self._most:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _pass(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        asked = [(question, future) for question, future in taken if not future.done()]
        if not asked:
            return
        questions = [question for question, _ in asked]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._executor, self._answer, questions)
        except Exception as error:
            answers = [error] * len(asked)
        for (_, future), answer in zip(asked, answers, strict=True):
            if not future.done():
                future.set_result(answer)
