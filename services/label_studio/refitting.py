"""Fits that work in Label Studio leads to: when enough frames are newly labelled, or somebody presses its button."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Final

from services.catalogue import Catalogue
from services.job_desk import JobDesk
from services.job_schemas import JobIn, StateOut
from services.label_studio.schemas import Done
from services.settings import Settings
from training.data.annotations import labels_hash
from training.errors import ConflictingJob, MicroModelError, NothingToLearn
from training.store.store import Store

__all__ = ["Refitter"]

_UNDER_WAY: Final = ("queued", "running")
_IN_VAIN: Final = ("failed", "stopped")
_log = logging.getLogger(__name__)


class Refitter:
    """Asks the desk for fits; the same need is the same job, whoever notices it and however often."""

    def __init__(self, catalogue: Catalogue, settings: Settings, desk: JobDesk) -> None:
        self._catalogue, self._settings, self._desk = catalogue, settings, desk

    async def due(self, shard_id: str, ontology: str, who: str | None) -> str | None:
        """The job that fits a micro-model again, if enough frames were labelled since the last fit and none is under way.

        Labels are kept already: where jobs cannot be submitted now, a later event asks again. After a fit that failed or was
        stopped as many more frames are waited for.
        """
        every = self._settings.label_studio_refit_after
        if every is None:
            return None
        try:
            base, more = await asyncio.to_thread(_since_fit, self._store, shard_id, ontology)
            needs = [f"{base} {number}" for number in range(1, more // every + 1)]
            for earlier in needs[:-1]:
                if await self._is_under_way(earlier, shard_id, ontology):
                    return None
            return await self._fit(needs[-1], shard_id, ontology, who, again=False) if needs else None
        except MicroModelError as error:
            _log.warning("label studio: no fit shard=%s ontology=%s error=%r", shard_id, ontology, error)
            return None

    async def demanded(self, models: Sequence[tuple[str, str]], who: str | None) -> Done:
        """Fits of all micro-models that a project labelled, from the labels that there are now; again where one was in vain.

        Raises:
            JobsNotConfigured, JobsUnavailable: there is nobody to run them.
            BadRecipe: the settings name one that there is not.
        """
        if not models:
            return Done(notes=["the project has labelled no frame of the store, needed an annotation of one"])
        done = Done()
        for shard_id, ontology in models:
            labels = await asyncio.to_thread(self._store.labels_to_fit, shard_id, ontology)
            try:
                done.jobs.append(await self._fit(labels_hash(labels), shard_id, ontology, who, again=True))
            except NothingToLearn as error:
                done.notes.append(str(error))
        return done

    @property
    def _store(self) -> Store:
        return self._catalogue.store

    async def _fit(self, need: str, shard_id: str, ontology: str, who: str | None, *, again: bool) -> str:
        """The job that stands for a need: the first attempt that was not in vain, and would be the same if asked for now.

        Whatever the settings are now, one that is under way stands. One that the cluster lost is submitted again as it was.

        Args:
            again: make another attempt after one that failed or was stopped.
        """
        for attempt in count():
            job_id = _name(shard_id, ontology, need, attempt)
            state = await self._state(job_id)
            if state in _UNDER_WAY or (state in _IN_VAIN and not again):
                return job_id
            if state not in _IN_VAIN:
                with suppress(ConflictingJob):  # asked for with other settings: the next attempt has those of now
                    job = JobIn(job_id=job_id, verb="fit", shard_ids=[shard_id], ontology=ontology)
                    return (await self._desk.take(job, who)).job_id
        raise AssertionError("count() ends")

    async def _is_under_way(self, need: str, shard_id: str, ontology: str) -> bool:
        """Whether any attempt is."""
        for attempt in count():
            state = await self._state(_name(shard_id, ontology, need, attempt))
            if state is None or state in _UNDER_WAY:
                return state is not None
        raise AssertionError("count() ends")

    async def _state(self, job_id: str) -> StateOut | None:
        """None of a job that nobody asked for."""
        known = await asyncio.to_thread(self._store.jobs.known, job_id)
        return (await self._desk.look(job_id)).state if known else None


def _since_fit(store: Store, shard_id: str, ontology: str) -> tuple[int, int]:
    """The newest generation (0: none), and how many more frames are labelled than it was fitted on."""
    newest = max(store.registry.generations(shard_id, ontology), default=0)
    fitted = store.registry.card(shard_id, ontology, newest).num_labelled if newest else 0
    return newest, len(store.labels_to_fit(shard_id, ontology)) - fitted


def _name(shard_id: str, ontology: str, need: str, attempt: int) -> str:
    what = f"{shard_id} {ontology} {need}" + (f" attempt {attempt}" if attempt else "")
    return f"label-studio-{hashlib.sha256(what.encode()).hexdigest()[:16]}"
