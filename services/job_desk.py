"""Jobs as the service keeps them: asked for once, remembered in the store, run by the cluster."""

import asyncio
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from services.catalogue import Catalogue
from services.job_schemas import JobFailure, JobIn, JobOut, JobProgress, JobShard, StateOut
from services.settings import Settings
from services.submitting import ClusterJob, Submitter, shell_command
from training.data.identifiers import check_identifier
from training.errors import BadRequest, JobsNotConfigured
from training.learning.job_work import TargetDone, job_targets, job_work
from training.learning.recipes import recipe
from training.store.jobs import JobRecord
from training.store.store import Store

__all__ = ["ENDED", "JobDesk", "command_of"]

ENDED = ("succeeded", "failed", "stopped", "lost")
_ONLY_OF = {"recipe": "fit", "weights": "fit", "seed": "fit", "frames_per_clip": "label"}
_Outcome = dict[str, Any] | None


class JobDesk:
    """Takes jobs, says how far they are, and stops them; holds nothing that a restart would lose."""

    def __init__(self, catalogue: Catalogue, settings: Settings, submitter: Submitter | None) -> None:
        self._catalogue, self._settings, self._given = catalogue, settings, submitter

    async def take(self, given: JobIn, who: str | None) -> JobOut:
        """Have a job done, unless that was asked before under the same id.

        Raises:
            JobsNotConfigured, JobsUnavailable: there is nobody to run it; after the latter, ask again.
            ConflictingJob: the id belongs to another job.
            BadRequest, BadRecipe, TooLarge: an option of the other verb, a recipe that is none, too many shards.
            UnknownShard, UnknownOntology, UnknownModel, NothingToLearn: as `job_targets`.
        """
        submitter = self._submitter
        record = await asyncio.to_thread(self._added, given, who)
        outcome, stopped = await asyncio.to_thread(self._kept, record.job_id)
        name = self._name(record.job_id)
        if outcome is None and not stopped and await submitter.find(name) is None:
            await submitter.submit(name, command_of(record, self._store.url))
            if await asyncio.to_thread(self._store.jobs.stopped, record.job_id):  # by whoever found nothing to stop yet
                await submitter.stop(name)
        return await self.look(record.job_id)

    async def look(self, job_id: str) -> JobOut:
        """
        Raises:
            UnknownJob: there is none.
            JobsNotConfigured, JobsUnavailable: it left nothing in the store yet, and there is nobody to ask.
        """
        record = await asyncio.to_thread(self._store.jobs.read, job_id)
        outcome, stopped = await asyncio.to_thread(self._kept, job_id)
        running = await self._submitter.find(self._name(job_id)) if outcome is None else None
        work = await asyncio.to_thread(job_work, self._store, record)
        return _shown(record, _state(running, outcome, stopped=stopped), running, outcome, work)

    async def stop(self, job_id: str) -> JobOut:
        """Ask a job to end, and never start it again; one that is at its end stays as it is. Raises as `look`."""
        submitter = self._submitter
        record = await asyncio.to_thread(self._store.jobs.read, job_id)
        await asyncio.to_thread(self._store.jobs.stop, record.job_id, _now())
        await submitter.stop(self._name(job_id))
        return await self.look(job_id)

    @property
    def _store(self) -> Store:
        return self._catalogue.store

    @property
    def _submitter(self) -> Submitter:
        if self._given is None:
            raise JobsNotConfigured("this service submits no jobs, needed the setting jobs_address: where Ray's Jobs API is")
        return self._given

    def _name(self, job_id: str) -> str:
        """Of a job in the cluster, which several stores may share."""
        store = hashlib.sha256(self._store.url.encode()).hexdigest()[:8]
        return f"micromodels-{store}-{check_identifier(job_id, 'job id')}"

    def _added(self, given: JobIn, who: str | None) -> JobRecord:
        record = JobRecord(
            job_id=given.job_id or uuid.uuid4().hex,
            verb=given.verb,
            shard_ids=tuple(dict.fromkeys(given.shard_ids)),
            ontology=given.ontology,
            options=self._options(given),
            submitted_at=_now(),
            submitted_by=who,
        )
        command_of(record, self._store.url)
        if not self._store.jobs.known(record.job_id):  # the store may have changed since
            targets = job_targets(self._store, record.verb, record.shard_ids, record.ontology, record.options)
            record = replace(record, targets=targets)
        return self._store.jobs.add(record)

    def _options(self, given: JobIn) -> dict[str, str | int]:
        for name, verb in _ONLY_OF.items():
            if getattr(given, name) is not None and given.verb != verb:
                raise BadRequest(f"{name}: of a {given.verb}, needed it of a {verb} only")
        set_here: Mapping[str, str | int | None] = {"workers": self._settings.jobs_workers}
        if given.verb == "fit":
            set_here = {**set_here, "recipe": self._settings.jobs_recipe, "weights": self._settings.jobs_weights}
        wanted = {**set_here, **given.model_dump(include={*_ONLY_OF, "workers"}, exclude_none=True)}
        if wanted.get("recipe") is not None:
            recipe(str(wanted["recipe"]))
        return {name: value for name, value in sorted(wanted.items()) if value is not None}

    def _kept(self, job_id: str) -> tuple[_Outcome, bool]:
        return self._store.jobs.outcome(job_id), self._store.jobs.stopped(job_id)


def command_of(job: JobRecord, store_url: str) -> str:
    """The command line that does a job. Raises TooLarge."""
    options = {"store": store_url, "job": job.job_id, "ontology": job.ontology, **job.options}
    said = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items() if value is not None]
    return shell_command(["python", "-m", "cluster", job.verb, *(word for pair in said for word in pair), *job.shard_ids])


def _state(running: ClusterJob | None, outcome: _Outcome, *, stopped: bool) -> StateOut:
    if outcome is not None:
        return "failed" if outcome.get("error") or outcome.get("failures") else "succeeded"
    if running is not None:
        return running.state
    return "stopped" if stopped else "lost"


def _shown(record: JobRecord, state: StateOut, running: ClusterJob | None, outcome: _Outcome, work: list[TargetDone]) -> JobOut:
    said = outcome or {}
    has_labels = record.verb == "label" and state in ENDED and any(one.done for one in work)
    silent = "it ended without saying what came of it; its log, which Ray keeps, may" if state == "failed" else None
    return JobOut(
        job_id=record.job_id,
        verb=record.verb,
        state=state,
        ontology=record.ontology,
        submitted_at=record.submitted_at,
        submitted_by=record.submitted_by,
        started_at=said.get("started_at") or (running.started_at if running else None),
        ended_at=said.get("ended_at") or (running.ended_at if running else None),
        progress=JobProgress(
            unit="frames" if record.verb == "label" else "micro-models",
            done=sum(one.done for one in work),
            total=sum(one.total for one in work),
        ),
        shards=[JobShard(**asdict(one)) for one in work],
        failures=[JobFailure(shard_id=row["shard_id"], error=row["error"]) for row in said.get("failures", [])],
        error=said.get("error") if outcome is not None else silent,
        result=f"/v1/jobs/{record.job_id}/result" if has_labels else None,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
