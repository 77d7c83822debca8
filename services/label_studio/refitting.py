"""Fits that work in Label Studio leads to: when enough frames are newly labelled, or somebody presses its button."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence

from services.catalogue import Catalogue
from services.job_desk import ENDED, JobDesk
from services.job_schemas import JobIn
from services.label_studio.schemas import Done
from services.settings import Settings
from training.data.annotations import labels_hash
from training.errors import JobsNotConfigured, JobsUnavailable, NothingToLearn
from training.store.store import Store

__all__ = ["Refitter"]

_log = logging.getLogger(__name__)


class Refitter:
    """Asks the desk for fits; the same need is the same job, whoever notices it and however often."""

    def __init__(self, catalogue: Catalogue, settings: Settings, desk: JobDesk) -> None:
        self._catalogue, self._settings, self._desk = catalogue, settings, desk

    async def due(self, shard_id: str, ontology: str, who: str | None) -> str | None:
        """The job that fits a micro-model again, if enough frames were labelled since the last fit and none is under way.

        Labels are kept already: where jobs cannot be submitted now, a later event asks again.
        """
        every = self._settings.label_studio_refit_after
        if every is None:
            return None
        base, more = await asyncio.to_thread(_since_fit, self._store, shard_id, ontology)
        names = [_name(shard_id, ontology, f"{base} {number}") for number in range(1, more // every + 1)]
        try:
            for earlier in names[:-1]:
                if await asyncio.to_thread(self._store.jobs.known, earlier) and not await self._ended(earlier):
                    return None
            return await self._fit(names[-1], shard_id, ontology, who) if names else None
        except (JobsNotConfigured, JobsUnavailable, NothingToLearn) as error:
            _log.warning("label studio: no fit shard=%s ontology=%s error=%r", shard_id, ontology, error)
            return None

    async def demanded(self, models: Sequence[tuple[str, str]], who: str | None) -> Done:
        """Fits of all micro-models that a project labelled, from the labels that there are now.

        Raises:
            JobsNotConfigured, JobsUnavailable: there is nobody to run them.
        """
        if not models:
            return Done(notes=["the project has labelled no frame of the store, needed an annotation of one"])
        done = Done()
        for shard_id, ontology in models:
            labels = await asyncio.to_thread(self._store.labels_to_fit, shard_id, ontology)
            try:
                done.jobs.append(await self._fit(_name(shard_id, ontology, labels_hash(labels)), shard_id, ontology, who))
            except NothingToLearn as error:
                done.notes.append(str(error))
        return done

    @property
    def _store(self) -> Store:
        return self._catalogue.store

    async def _fit(self, job_id: str, shard_id: str, ontology: str, who: str | None) -> str:
        job = await self._desk.take(JobIn(job_id=job_id, verb="fit", shard_ids=[shard_id], ontology=ontology), who)
        return job.job_id

    async def _ended(self, job_id: str) -> bool:
        return (await self._desk.look(job_id)).state in ENDED


def _since_fit(store: Store, shard_id: str, ontology: str) -> tuple[int, int]:
    """The newest generation (0: none), and how many more frames are labelled than it was fitted on."""
    newest = max(store.registry.generations(shard_id, ontology), default=0)
    fitted = store.registry.card(shard_id, ontology, newest).num_labelled if newest else 0
    return newest, len(store.labels_to_fit(shard_id, ontology)) - fitted


def _name(shard_id: str, ontology: str, what: str) -> str:
    return f"label-studio-{hashlib.sha256(f'{shard_id} {ontology} {what}'.encode()).hexdigest()[:16]}"
