"""Routes for whoever shows frames to people: what waits, the pictures, and what people said. Transport only."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request, Response

from services.body import read_json
from services.catalogue import Catalogue
from services.examples import ANSWERS_BODY, KEPT, QUEUE, problems
from services.frame_pictures import frame_jpeg
from services.gate import ANNOTATE, READ
from services.schemas import AnnotationOut
from services.settings import Settings
from services.work_schemas import ActionsDone, AnswerIn, AnswerKept, AnswersIn, FrameToDo, Proposal, Receipt, WorkQueue
from training.data.annotations import FrameLabels
from training.loop.answers import FrameAnswer
from training.loop.pending import pending, proposals
from training.loop.recording import record
from training.store.queue import QueuedFrame
from training.store.store import Store

__all__ = ["add_work"]

_log = logging.getLogger(__name__)
NUM_DECODING = 2  # frames of shards decoded at once
NEEDED = '{"answers": [{"answer_id": …, "shard_id": …, "ontology": …, "frame_index": …, "kind": …, "annotations": […], …}]}'


def add_work(api: FastAPI, catalogue: Catalogue, settings: Settings) -> None:
    """Add the routes; answers to nothing until it is served."""
    _add_queue(api, catalogue)
    _add_answers(api, catalogue, settings)
    _add_pictures(api, catalogue)


def _add_queue(api: FastAPI, catalogue: Catalogue) -> None:
    @api.get(
        "/v1/queue",
        dependencies=[READ],
        summary="Frames that wait for a person",
        response_model_exclude_none=True,
        responses={200: {"content": {"application/json": {"example": QUEUE}}}, **problems(404)},
    )
    def queue(
        shard_id: Annotated[str | None, Query(description="Only of this shard")] = None,
        ontology: Annotated[str | None, Query(description="Only of this ontology")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> WorkQueue:
        store = catalogue.store
        if shard_id is not None:
            store.shard(shard_id)
        if ontology is not None:
            store.ontology(ontology)
        queued = store.queue.read()
        frames = list(islice(pending(store, queued, shard_id=shard_id, ontology=ontology), limit))
        return WorkQueue(queue=queued.number, made_at=queued.made_at, frames=_shown(store, frames))


def _add_answers(api: FastAPI, catalogue: Catalogue, settings: Settings) -> None:
    @api.post(
        "/v1/annotations",
        dependencies=[ANNOTATE],
        summary="Keep what people said about frames",
        responses={200: {"content": {"application/json": {"example": KEPT}}}, **problems(404, 409, 413, 415)},
        openapi_extra={"requestBody": ANSWERS_BODY},
    )
    async def annotations(request: Request) -> Receipt:
        given = await read_json(request, AnswersIn, settings, needed=NEEDED)
        receipt = await asyncio.to_thread(_kept, catalogue.store, given.answers)
        said = request.scope.get("request_id"), request.scope.get("key"), receipt.recorded
        _log.info("annotated request_id=%s key=%s recorded=%d", *said)
        return receipt


def _add_pictures(api: FastAPI, catalogue: Catalogue) -> None:
    turns = asyncio.Semaphore(NUM_DECODING)

    @api.get(
        "/v1/shards/{shard_id}/frames/{frame_index}.jpg",
        dependencies=[READ],
        summary="The picture of one frame",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **problems(404)},
    )
    async def picture(shard_id: Annotated[str, Path()], frame_index: Annotated[int, Path()]) -> Response:
        async with turns:
            data = await asyncio.to_thread(frame_jpeg, catalogue.store, shard_id, frame_index)
        return Response(data, media_type="image/jpeg")


def _shown(store: Store, frames: Sequence[QueuedFrame]) -> list[FrameToDo]:
    said = proposals(store, frames)
    return [_to_do(store, one, said.get(one)) for one in frames]


def _to_do(store: Store, one: QueuedFrame, said: FrameLabels | None) -> FrameToDo:
    height, width = store.shard(one.shard_id).size_hw(one.frame_index)
    return FrameToDo(
        shard_id=one.shard_id,
        ontology=one.ontology,
        frame_index=one.frame_index,
        kind=one.kind,
        generation=one.generation,
        why=one.why,
        expected_seconds=one.costs_s,
        width=width,
        height=height,
        picture=f"/v1/shards/{one.shard_id}/frames/{one.frame_index}.jpg",
        proposals=[] if said is None or one.ontology is None else _proposals(store, one.ontology, said, (width, height)),
    )


def _proposals(store: Store, ontology: str, said: FrameLabels, size_wh: tuple[int, int]) -> list[Proposal]:
    names = store.ontology(ontology).keypoints
    shaped = (AnnotationOut.of(one, size_wh, names) for one in said.annotations)
    return [Proposal(annotation_id=str(place), **one.model_dump()) for place, one in enumerate(shaped)]


def _kept(store: Store, given: Iterable[AnswerIn]) -> Receipt:
    kept = [
        AnswerKept(
            answer_id=work.answer.answer_id,
            shard_id=work.labels.shard_id,
            ontology=work.answer.ontology,
            frame_index=work.labels.frame_index,
            recorded=new,
            actions=ActionsDone(**work.actions_done.to_json()),
        )
        for work, new in record(store, [_answer(store, one) for one in given])
    ]
    recorded = sum(one.recorded for one in kept)
    return Receipt(recorded=recorded, known=len(kept) - recorded, answers=kept)


def _answer(store: Store, given: AnswerIn) -> FrameAnswer:
    names, size = store.ontology(given.ontology).keypoints, store.shard(given.shard_id).size_hw(given.frame_index)
    said = tuple(one.annotation(names, size) for one in given.annotations)
    same = {place: one.annotation_id for place, one in enumerate(given.annotations) if one.annotation_id is not None}
    return FrameAnswer(
        answer_id=given.answer_id,
        kind=given.kind,
        ontology=given.ontology,
        labels=FrameLabels(shard_id=given.shard_id, frame_index=given.frame_index, annotations=said),
        who=given.who,
        when=given.when,
        generation=given.generation,
        seconds=given.seconds,
        same=same,
    )
