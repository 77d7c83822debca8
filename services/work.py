"""Routes for whoever shows frames to people: what waits, the pictures, and what people said. Transport only."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
from training.errors import MicroModelError, StoreDenied, StoreUnreachable, named
from training.loop.answers import FrameAnswer
from training.loop.pending import pending, proposals
from training.loop.recording import record
from training.store.queue import Queued, QueuedFrame
from training.store.store import Store

__all__ = ["add_work"]

_log = logging.getLogger(__name__)
_Source = tuple[str, str | None, int | None]  # shard, ontology and generation: what is read to show a frame
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
        wanted = [one for one in queued.frames if shard_id in (None, one.shard_id) and ontology in (None, one.ontology)]
        waiting = _waiting(store, replace(queued, frames=tuple(wanted)))
        return WorkQueue(queue=queued.number, made_at=queued.made_at, frames=_shown(store, waiting, limit))


def _add_answers(api: FastAPI, catalogue: Catalogue, settings: Settings) -> None:
    @api.post(
        "/v1/annotations",
        dependencies=[ANNOTATE],
        summary="Keep what people said about frames",
        responses={200: {"content": {"application/json": {"example": KEPT}}}, **problems(404, 408, 409, 413, 415)},
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


def _waiting(store: Store, queued: Queued) -> Iterator[QueuedFrame]:
    """As `pending`, without the frames whose labels cannot be read."""
    frames: dict[_Source, list[QueuedFrame]] = defaultdict(list)
    for one in queued.frames:
        frames[one.shard_id, one.ontology, None].append(one)
    unlabelled: dict[_Source, set[QueuedFrame]] = {}
    for one in queued.frames:
        source = one.shard_id, one.ontology, None
        if source not in unlabelled:
            unlabelled[source] = set()
            with _passing_over(source):
                unlabelled[source] = set(pending(store, replace(queued, frames=tuple(frames[source]))))
        if one in unlabelled[source]:
            yield one


def _shown(store: Store, waiting: Iterable[QueuedFrame], limit: int) -> list[FrameToDo]:
    """The first of them that can be read, at most `limit`."""
    shown: list[FrameToDo] = []
    damaged: set[_Source] = set()
    left = (one for one in waiting if _source(one) not in damaged)
    while some := list(islice(left, limit - len(shown))):
        found: dict[QueuedFrame, FrameToDo] = {}
        for source in dict.fromkeys(map(_source, some)):
            damaged.add(source)
            with _passing_over(source):
                found |= _to_dos(store, [one for one in some if _source(one) == source])
                damaged.remove(source)
        shown += [found[one] for one in some if one in found]
    return shown


def _source(one: QueuedFrame) -> _Source:
    return one.shard_id, one.ontology, one.generation


@contextmanager
def _passing_over(source: _Source) -> Iterator[None]:
    """What is damaged or gone keeps nothing else from people. Raises StoreDenied, StoreUnreachable: all of the store is."""
    try:
        yield
    except (StoreDenied, StoreUnreachable):
        raise
    except MicroModelError as error:
        _log.warning("frames passed over shard=%s ontology=%s generation=%s error=%s", *source, named(error))


def _to_dos(store: Store, frames: Sequence[QueuedFrame]) -> dict[QueuedFrame, FrameToDo]:
    said = proposals(store, frames)
    return {one: _to_do(store, one, said.get(one)) for one in frames}


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
