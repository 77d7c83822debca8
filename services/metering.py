"""Requests and the hosts they ask, counted: by route, task, status and reason, never by micro-model."""

import time
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.answering import Answer
from services.asking import Hosts
from services.line_answering import LineAnswer
from services.looking import Asked, Looked
from services.measures import Meters
from services.payload import Picture
from services.tally import TALLY, Tally, tally
from training.lines.ready import ReadyLine
from training.store.card import Card

__all__ = ["Metered", "MeteredHosts"]

LINE = "line"  # as a task


class Metered:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, noted = time.perf_counter(), "lost", Tally()

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = f"{message['status'] // 100}xx"
            await send(message)

        before = TALLY.set(noted)
        try:
            await self._app(scope, receive, send_seen)
        finally:
            TALLY.reset(before)
            self._tell(scope, status, noted, time.perf_counter() - started)

    def _tell(self, scope: Scope, status: str, noted: Tally, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._meters.count("micromodels_requests", route=route, method=_method(scope), task=noted.task, status=status)
        self._meters.observe("micromodels_request_seconds", seconds, route=route, task=noted.task)
        for task, pictures in noted.pictures.items():
            self._meters.count("micromodels_pictures", pictures, task=task)
        for phase, its_seconds in noted.phases:
            self._meters.observe("micromodels_phase_seconds", its_seconds, phase=phase)
        for reason, pictures in noted.abstentions.items():
            self._meters.count("micromodels_abstentions", pictures, reason=reason)
        for reason, times in noted.refusals.items():
            self._meters.count("micromodels_refusals", times, where="ingress", reason=reason)


class MeteredHosts:
    """Hosts, with what they are asked and answer noted for the request that asks."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    async def predict(self, card: Card, pictures: Sequence[Picture]) -> Answer:
        tally().tasks.add(card.task)
        answer = await self._hosts.predict(card, pictures)
        _note(card.task, answer)
        return answer

    async def predict_each(self, asked: Sequence[tuple[Card, Sequence[Picture]]]) -> list[Answer]:
        tally().tasks.update(card.task for card, _ in asked)
        answers = await self._hosts.predict_each(asked)
        for (card, _), answer in zip(asked, answers, strict=True):
            _note(card.task, answer)
        return answers

    async def run_line(self, line: ReadyLine, pictures: Sequence[Picture]) -> LineAnswer:
        tally().tasks.add(LINE)
        answer = await self._hosts.run_line(line, pictures)
        tally().pictures[LINE] += len(answer.labels)
        return answer

    async def look(self, asked: Sequence[Asked], ontology: str | None) -> Looked:
        looked = await self._hosts.look(asked, ontology)
        tally().phases.append(("look", looked.seconds))
        return looked

    async def check(self) -> None:
        await self._hosts.check()


def _note(task: str, answer: Answer) -> None:
    noted = tally()
    noted.pictures[task] += len(answer.labels)
    noted.phases += [("prepare", answer.prepare_s), ("wait", answer.wait_s), ("model", answer.model_s)]


def _method(scope: Scope) -> str:
    """One that a route has, so that nobody invents series."""
    method: str = scope["method"]
    return method if method in getattr(scope.get("route"), "methods", ()) else "other"
