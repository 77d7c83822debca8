"""Generations on trial, as an ingress runs them: who answers a request, what became of it, and when one has to go."""

import asyncio
import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b

from services.answering import Answer
from services.asking import Hosts
from services.at_once import at_once
from services.catalogue import Catalogue, Reference
from services.measures import Meters
from services.payload import Picture
from training.errors import BadInput, ConflictingCanary, HostUnavailable, MicroModelError, TimedOut
from training.loop.canary import EARLY_ERRORS, end_canary, judge
from training.loop.canary_figures import Sums, agreement
from training.models.tasks import Task, task_for
from training.store.canaries import Canary
from training.store.card import Card

__all__ = ["Canaries", "Wanted", "is_live"]

COMPARED = 0.25  # of the requests of a generation on trial, those that the live one answers too
_log = logging.getLogger(__name__)


def is_live(wanted: Reference) -> bool:
    """Whether whichever generation answers now is meant, and not one by its number."""
    return wanted[0].endswith("@live")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Pictures and the micro-model they are for. live: as is_live."""

    card: Card
    pictures: Sequence[Picture]
    live: bool


@dataclass(slots=True, kw_only=True)
class _Trial:
    """One that runs, and what this ingress saw of it.

    due: requests of the generation on trial at the next report. told: its errors in the last one. settling: that report.
    """

    canary: Canary
    card: Card
    task: Task
    sums: Sums = field(default_factory=Sums)
    due: int = 0
    told: int = 0
    settling: Future[None] | None = None

    def is_due(self) -> bool:
        """Often enough to decide in time, more rarely the longer it goes well, and never while the last report is under way."""
        requests, errors = self.sums.canary.requests, self.sums.canary.errors
        if self.settling is not None and not self.settling.done():
            return False
        if requests < self.due and not self.told < min(errors, EARLY_ERRORS):
            return False
        self.due = requests + max(1, self.canary.limits.min_requests // 10, requests // 10)
        return True


class Canaries:
    """Asks hosts; a request for a live micro-model goes to the generation on trial where one is and the pictures say so.

    Every ingress decides alike, by a hash of the pictures, tells the store what it saw, and judges by what all have told.
    """

    def __init__(
        self, catalogue: Catalogue, hosts: Hosts, meters: Meters | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalogue, self._hosts, self._meters, self._clock = catalogue, hosts, meters, clock
        self._until = -math.inf  # what is known of the store's trials holds, as long as the catalogue's cards do
        self._lock = threading.Lock()
        self._trials: Mapping[tuple[str, str], _Trial] = {}
        self._who = uuid.uuid4().hex
        self._settling = ThreadPoolExecutor(1, "canaries")

    async def predict(self, card: Card, pictures: Sequence[Picture], *, live: bool) -> tuple[Card, Answer]:
        """Who answered, and what. Raises as Hosts.predict."""
        trial = await self._trial(card) if live else None
        if trial is None:
            return card, await self._hosts.predict(card, pictures)
        chance = _chance(trial.canary, pictures)
        if chance < trial.canary.share:
            return await self._tried(trial, card, pictures, compared=chance < COMPARED * trial.canary.share)
        return card, await self._by_live(trial, card, pictures)

    async def predict_each(self, wanted: Sequence[Wanted]) -> list[tuple[Card, Answer]]:
        """Likewise, in order; in one call to a host but for those that have a trial. Raises as Hosts.predict_each."""
        on_trial = [one.live and await self._trial(one.card) is not None for one in wanted]
        tried = [one for one, trial in zip(wanted, on_trial, strict=True) if trial]
        plain = [one for one, trial in zip(wanted, on_trial, strict=True) if not trial]
        together, *alone = await at_once([self._plain(plain), *(self._alone(one) for one in tried)])
        of_plain, of_tried = iter(together), (answer for (answer,) in alone)
        return [next(of_tried if trial else of_plain) for trial in on_trial]

    def forget(self) -> None:
        """Look into the store before the next request."""
        self._until = -math.inf

    async def _alone(self, wanted: Wanted) -> list[tuple[Card, Answer]]:
        return [await self.predict(wanted.card, wanted.pictures, live=True)]

    async def _plain(self, wanted: Sequence[Wanted]) -> list[tuple[Card, Answer]]:
        answers = await self._hosts.predict_each([(one.card, one.pictures) for one in wanted]) if wanted else []
        return [(one.card, answer) for one, answer in zip(wanted, answers, strict=True)]

    async def _by_live(self, trial: _Trial, card: Card, pictures: Sequence[Picture]) -> Answer:
        started = self._clock()
        try:
            answer = await self._hosts.predict(card, pictures)
        except Exception as error:
            if not isinstance(error, (BadInput, HostUnavailable)):
                trial.sums.live.failed()
                self._count("live", "failed")
            raise
        trial.sums.live.answered(answer.labels, self._clock() - started)
        self._count("live", "answered")
        return answer

    async def _tried(self, trial: _Trial, live: Card, pictures: Sequence[Picture], *, compared: bool) -> tuple[Card, Answer]:
        """By the generation on trial; where it fails and the live one does not, by the live one."""
        started = self._clock()
        asked = [trial.card, live] if compared else [trial.card]
        said, *others = await asyncio.gather(*(self._hosts.predict(one, pictures) for one in asked), return_exceptions=True)
        if isinstance(said, Answer):
            trial.sums.canary.answered(said.labels, None if compared else self._clock() - started)
            self._count("canary", "answered")
            if others and isinstance(others[0], Answer):
                await asyncio.to_thread(_compare, trial, others[0], said)
            self._settle_if_due(trial)
            return trial.card, said
        if not isinstance(said, Exception) or isinstance(said, HostUnavailable):
            raise said
        if isinstance(said, TimedOut):
            self._failed(trial, said, "failed")
            raise said
        answer = others[0] if others else await self._hosts.predict(live, pictures)
        if isinstance(answer, BaseException):
            raise answer
        self._failed(trial, said, "fallback")
        return live, answer

    def _failed(self, trial: _Trial, error: Exception, outcome: str) -> None:
        _log.warning("canary failed model=%s ontology=%s error=%r", trial.card.ref, trial.card.ontology, error)
        trial.sums.canary.failed()
        self._count("canary", outcome)
        self._settle_if_due(trial)

    def _settle_if_due(self, trial: _Trial) -> None:
        if trial.is_due():
            trial.settling = self._settling.submit(self._settle, trial, trial.sums.to_json(), trial.sums.canary.errors)

    def _settle(self, trial: _Trial, seen: Mapping[str, object], errors: int) -> None:
        """Tell what was seen, and end the trial if all that was told is against it."""
        canary, canaries = trial.canary, self._catalogue.store.registry.canaries
        try:
            canaries.report(canary, self._who, seen)
            trial.told = errors
            sums = Sums.total(canaries.reports(canary))
            if (reason := judge(canary.limits, sums)) is not None:
                end_canary(self._catalogue.store.registry, canary, "rolled-back", reason, figures=sums.figures())
                self.ended(canary, "rolled-back", reason)
        except ConflictingCanary:
            self.forget()
        except MicroModelError as error:
            _log.warning("canary not settled shard=%s error=%r", canary.shard_id, error)
        except Exception:  # nobody waits for this: what nobody foresaw would pass unseen
            _log.exception("canary not settled shard=%s", canary.shard_id)

    def ended(self, canary: Canary, outcome: str, reason: str) -> None:
        """Tell the log and Prometheus, and take no more requests for it."""
        self.forget()
        model = f"{canary.shard_id}@{canary.generation}"
        _log.warning("canary ended model=%s ontology=%s outcome=%s reason=%r", model, canary.ontology, outcome, reason)
        if self._meters is not None:
            self._meters.count("micromodels_canary_ends", outcome=outcome)

    def _count(self, arm: str, outcome: str) -> None:
        if self._meters is not None:
            self._meters.count("micromodels_canary_requests", arm=arm, outcome=outcome)

    async def _trial(self, card: Card) -> _Trial | None:
        if self._until <= self._clock():
            await asyncio.to_thread(self._look)
        trial = self._trials.get((card.shard_id, card.ontology))
        return trial if trial is not None and trial.canary.against == card.generation else None

    def _look(self) -> None:
        with self._lock:  # one listing under way, however many ask
            if self._until > self._clock():
                return
            self._until = self._clock() + self._catalogue.ttl_s
            try:
                found = self._catalogue.store.registry.canaries.running()
            except MicroModelError as error:
                _log.warning("canaries unknown error=%r", error)
                return
            trials = filter(None, map(self._known_or_new, found))
            self._trials = {(trial.canary.shard_id, trial.canary.ontology): trial for trial in trials}
            if self._meters is not None:
                self._meters.show("micromodels_canaries", sum(self._runs(trial.canary) for trial in self._trials.values()))

    def _known_or_new(self, canary: Canary) -> _Trial | None:
        known = self._trials.get((canary.shard_id, canary.ontology))
        if known is not None and known.canary.number == canary.number:
            return known  # with what was seen of it, even where it is over: its live generation may come back
        if not self._runs(canary):
            return None
        try:
            card = self._catalogue.resolve((f"{canary.shard_id}@{canary.generation}", canary.ontology))
            return _Trial(canary=canary, card=card, task=task_for(self._catalogue.store.ontology(canary.ontology)))
        except MicroModelError as error:
            _log.warning("canary cannot run model=%s@%d error=%r", canary.shard_id, canary.generation, error)
            return None

    def _runs(self, canary: Canary) -> bool:
        """Whether the generation that it is against is live; while nobody knows, it is."""
        try:
            return self._catalogue.store.registry.live(canary.shard_id, canary.ontology) == canary.against
        except MicroModelError as error:
            _log.warning("canary unknown shard=%s ontology=%s error=%r", canary.shard_id, canary.ontology, error)
            return True


def _chance(canary: Canary, pictures: Sequence[Picture]) -> float:
    """A number in 0..1 that is the same for the same pictures, in every ingress, for as long as the trial runs."""
    digest = blake2b(f"{canary.shard_id}/{canary.ontology}/{canary.number}".encode(), digest_size=8)
    for picture in pictures:
        digest.update(picture.data)
    return int.from_bytes(digest.digest(), "big") / 2**64


def _compare(trial: _Trial, live: Answer, canary: Answer) -> None:
    for old, new, (width, height) in zip(live.labels, canary.labels, canary.sizes_wh, strict=True):
        trial.sums.agreed += agreement(trial.task, old, new, (height, width))
        trial.sums.compared += 1
