"""Routes for work that takes longer than a request: a verb over shards of the store, run by a cluster. Transport only."""

import asyncio
from itertools import chain
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from services.body import read_json
from services.catalogue import Catalogue
from services.examples import problems
from services.gate import JOBS, READ
from services.job_desk import ENDED, JobDesk
from services.job_examples import JOB, JOB_BODY, RESULTS
from services.job_result import MEDIA_TYPES, result_pieces
from services.job_schemas import JobIn, JobOut, ResultFormat
from services.settings import Settings
from services.submitting import Submitter
from training.errors import NoResult

__all__ = ["add_jobs"]

NEEDED = '{"verb": "label", "shard_ids": ["…"], "job_id": …, "ontology": …}'
JobId = Annotated[str, Path(description="The id that the job was submitted under")]


def add_jobs(api: FastAPI, catalogue: Catalogue, settings: Settings, submitter: Submitter | None) -> None:
    """Add the routes; answers to nothing until it is served."""
    desk = JobDesk(catalogue, settings, submitter)
    _add_submit(api, desk, settings)
    _add_look(api, desk)
    _add_result(api, desk, catalogue)


def _add_submit(api: FastAPI, desk: JobDesk, settings: Settings) -> None:
    @api.post(
        "/v1/jobs",
        status_code=202,
        dependencies=[JOBS],
        summary="Have a verb done over shards of the store",
        response_model_exclude_none=True,
        responses={202: {"content": {"application/json": {"example": JOB}}}, **problems(404, 408, 409, 413, 415, 501)},
        openapi_extra={"requestBody": JOB_BODY},
    )
    async def submit(request: Request, response: Response) -> JobOut:
        given = await read_json(request, JobIn, settings, needed=NEEDED)
        job = await desk.take(given, request.scope.get("key"))
        response.headers["Location"] = f"/v1/jobs/{job.job_id}"
        return job


def _add_look(api: FastAPI, desk: JobDesk) -> None:
    answers = {200: {"content": {"application/json": {"example": JOB}}}, **problems(404, 501)}

    @api.get(
        "/v1/jobs/{job_id}", dependencies=[READ], summary="How far a job is", response_model_exclude_none=True, responses=answers
    )
    async def look(job_id: JobId) -> JobOut:
        return await desk.look(job_id)

    @api.delete(
        "/v1/jobs/{job_id}", dependencies=[JOBS], summary="Stop a job", response_model_exclude_none=True, responses=answers
    )
    async def stop(job_id: JobId) -> JobOut:
        return await desk.stop(job_id)


def _add_result(api: FastAPI, desk: JobDesk, catalogue: Catalogue) -> None:
    @api.get(
        "/v1/jobs/{job_id}/result",
        dependencies=[READ],
        summary="The labels of a job's shards",
        response_class=Response,
        responses={200: {"content": RESULTS}, **problems(404, 409, 501)},
    )
    async def result(
        job_id: JobId, form: Annotated[ResultFormat, Query(alias="format", description="COCO, or a JSON line a frame")] = "coco"
    ) -> StreamingResponse:
        job = await desk.look(job_id)
        if job.verb != "label":
            raise NoResult(f"{job_id}: a {job.verb} makes no labels, needed a label; its micro-models are in `shards`")
        if job.state not in ENDED:
            raise NoResult(f"{job_id}: {job.state}, {job.progress.done} of {job.progress.total} frames; needed it at its end")
        if job.result is None:
            raise NoResult(f"{job_id}: {job.state}, none of {job.progress.total} frames labelled, needed at least one")
        pieces = result_pieces(catalogue.store, job, form)
        first = await asyncio.to_thread(next, pieces)  # what cannot be read at all is a problem document
        return StreamingResponse(chain([first], pieces), media_type=MEDIA_TYPES[form])
