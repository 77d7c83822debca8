"""The deployment that computes: any published micro-model, requests for different ones answered in one pass."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import torch

from services.answering import Answer, Answerer
from services.batcher import Batcher
from services.budget import Budget
from services.line_answering import LineAnswer, answer_line
from services.looking import Asked, Looked, Looker
from services.measures import RayMeters
from services.payload import Picture
from services.settings import Settings
from training.lines.ready import ReadyLine
from training.lines.run import CROP_PIXELS
from training.models.device import compute_with, ready_to_last
from training.store.card import Card
from training.store.store import Store

__all__ = ["Host"]

_PREPARING_THREADS = 4


class Host:
    """Torch runs in one thread of its own with the CPUs allotted; the event loop stays free for health checks."""

    def __init__(self, settings: Settings) -> None:
        logging.getLogger("services").setLevel(logging.INFO)
        compute_with(settings.threads_per_host)
        store = Store.open(settings.store)
        self._answerer = Answerer(store, settings, RayMeters())
        self._looker = Looker(store, settings)
        self._budget = Budget(settings.max_host_pixels)
        self._preparing = ThreadPoolExecutor(_PREPARING_THREADS, "prepare", torch.set_num_threads, (1,))
        self._answering = ThreadPoolExecutor(1, "answer", torch.set_num_threads, (settings.threads_per_host,))
        most, wait_s = settings.batch_requests, settings.batch_wait_s
        self._batcher = Batcher(self._answerer.answer, self._answering, most=most, wait_s=wait_s)
        ready_to_last()

    async def predict(self, card: Card, pictures: Sequence[Picture]) -> Answer:
        """Labels of the pictures by the micro-model of `card`.

        Raises:
            BadPicture, TooLarge: as Answerer.prepare; only this request fails.
        """
        (answer,) = await self.predict_each([(card, pictures)])
        return answer

    async def predict_each(self, asked: Sequence[tuple[Card, Sequence[Picture]]]) -> list[Answer]:
        """Labels by several micro-models, in order; where the batch has room, in one pass. They are loaded as one bundle.

        Raises:
            BadPicture, TooLarge: as Answerer.prepare; only this request fails, as a whole.
        """
        async with self._budget.hold(sum(picture.num_pixels for _, pictures in asked for picture in pictures)):
            if len(asked) > 1:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._preparing, self._answerer.prefetch, [card for card, _ in asked])
            answers = await asyncio.gather(*(self._answered(*one) for one in asked), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if isinstance(answer, Answer)]

    async def look(self, asked: Sequence[Asked], ontology: str | None) -> Looked:
        """Which micro-model each picture is for.

        Raises:
            BadPicture: as Looker.decoded.
            StoreUnusable, HostUnavailable: as Looker.candidates.
        """
        loop = asyncio.get_running_loop()
        async with self._budget.hold(sum(one.picture.num_pixels for one in asked)):
            candidates = await loop.run_in_executor(self._preparing, self._looker.candidates)
            frames = await loop.run_in_executor(self._preparing, self._looker.decoded, [one.picture for one in asked])
            places = [one.place for one in asked]
            return await loop.run_in_executor(self._answering, self._looker.look, candidates, frames, places, ontology)

    async def run_line(self, line: ReadyLine, pictures: Sequence[Picture]) -> LineAnswer:
        """What a line says about the pictures: all its stages here, without another hop.

        Raises:
            BadPicture, TooLarge: as Answerer.prepare_line, or more crops than the settings allow; only this request fails.
        """
        async with self._budget.hold(sum(picture.num_pixels for picture in pictures) + CROP_PIXELS):
            prepare = partial(self._answerer.prepare_line, line, pictures)
            return await answer_line(line, prepare, self._batcher.ask, executor=self._preparing)

    async def check(self) -> None:
        """Answers once the host is ready."""

    async def _answered(self, card: Card, pictures: Sequence[Picture]) -> Answer:
        started = time.perf_counter()
        with self._batcher.coming():
            loop = asyncio.get_running_loop()
            question = await loop.run_in_executor(self._preparing, self._answerer.prepare, card, pictures)
        prepared = time.perf_counter()
        answer = await self._batcher.ask(question)
        if isinstance(answer, Exception):
            raise answer
        wait_s = max(0.0, time.perf_counter() - prepared - answer.model_s)
        return replace(answer, prepare_s=prepared - started, wait_s=wait_s)
