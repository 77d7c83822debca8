"""The HTTP routes: decode the request, ask, shape the answer. Knows FastAPI, not Serve."""

import asyncio
import time
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from opentelemetry.trace import Tracer
from starlette.exceptions import HTTPException

from services.answering import Answer
from services.asking import Generation, Hosts, MinScore, Ontology, ShardId
from services.body import check_media_type
from services.canaries import Canaries, is_live
from services.canary_routes import add_canaries
from services.catalogue import Catalogue, reference
from services.envelope import Envelope
from services.examples import PREDICT_BODY, PREDICTIONS, STREAM_BODY, STREAMED, problems
from services.gate import PREDICT, READ
from services.jobs import add_jobs
from services.keys import KeyFile
from services.label_studio.routes import add_label_studio
from services.lines import add_lines
from services.measures import Meters
from services.metering import Metered, MeteredHosts
from services.ontologies import add_ontologies
from services.payload import read_pictures
from services.problems import problem_of_error, problem_of_http, problem_of_validation
from services.protocol import add_protocol
from services.routing import add_routing
from services.rules import RuleBook
from services.schemas import Health, ImageLabels, ModelCard, ModelPage, ModelUsed, Prediction, Timings
from services.settings import Settings
from services.stream import MEDIA_TYPE, Stream
from services.submitting import Submitter
from services.tracing import Traced, TracedHosts
from services.work import add_work
from training.errors import MicroModelError
from training.store.card import Card

__all__ = ["create_api"]


def create_api(
    catalogue: Catalogue,
    hosts: Hosts,
    settings: Settings,
    keys: KeyFile | None = None,
    jobs: Submitter | None = None,
    meters: Meters | None = None,
    tracer: Tracer | None = None,
) -> FastAPI:
    """The application; answers to nothing until it is served, and without keys only to this machine.

    meters: are told what is asked and answered. tracer: makes traces of it.
    """
    common = problems(401, 403, 422, 503)
    api = FastAPI(title="micro-models", version="1", openapi_url=None, redirect_slashes=False, responses=common)
    api.state.keys = keys
    api.add_middleware(Envelope)
    if meters is not None:
        api.add_middleware(Metered, meters=meters)
        hosts = MeteredHosts(hosts)
    if tracer is not None:
        api.add_middleware(Traced, tracer=tracer)
        hosts = TracedHosts(hosts, tracer)
    canaries = Canaries(catalogue, hosts, meters)
    api.add_exception_handler(MicroModelError, problem_of_error)
    api.add_exception_handler(HTTPException, problem_of_http)
    api.add_exception_handler(RequestValidationError, problem_of_validation)
    _add_predict(api, catalogue, canaries, settings)
    _add_models(api, catalogue)
    add_ontologies(api, catalogue)
    _add_stream(api, catalogue, canaries, settings)
    add_canaries(api, catalogue, canaries, settings)
    add_lines(api, catalogue, hosts, settings)
    add_work(api, catalogue, settings)
    add_protocol(api, catalogue, hosts, canaries, settings)
    add_jobs(api, catalogue, settings, jobs)
    book = RuleBook(catalogue, settings)
    add_routing(api, catalogue, hosts, canaries, book, settings)
    add_label_studio(api, catalogue, hosts, book, settings, jobs)
    _add_health(api, catalogue, hosts)
    _add_document(api)
    return api


def _add_predict(api: FastAPI, catalogue: Catalogue, canaries: Canaries, settings: Settings) -> None:
    @api.post(
        "/v1/models/{shard_id}/predict",
        response_model_exclude_none=True,
        responses={200: {"content": {"application/json": {"examples": PREDICTIONS}}}, **problems(404, 408, 413, 415, 504)},
        openapi_extra={"requestBody": PREDICT_BODY},
        dependencies=[PREDICT],
        summary="Label pictures",
    )
    async def predict(
        request: Request,
        shard_id: ShardId,
        ontology: Ontology = None,
        generation: Generation = "live",
        min_score: MinScore = 0.0,
    ) -> Prediction:
        started = time.perf_counter()
        wanted = reference(shard_id, generation, ontology)
        card = await asyncio.to_thread(catalogue.resolve, wanted)
        pictures = await read_pictures(request, settings)
        card, answer = await canaries.predict(card, pictures, live=is_live(wanted))
        return _prediction(card, answer, min_score, started)


def _add_stream(api: FastAPI, catalogue: Catalogue, canaries: Canaries, settings: Settings) -> None:
    @api.post(
        "/v1/models/{shard_id}/predict-stream",
        response_class=Response,
        responses={200: {"content": {MEDIA_TYPE: {"example": STREAMED}}}, **problems(404, 415)},
        openapi_extra={"requestBody": STREAM_BODY},
        dependencies=[PREDICT],
        summary="Label pictures, a JSON line each",
    )
    async def predict_stream(
        request: Request,
        shard_id: ShardId,
        ontology: Ontology = None,
        generation: Generation = "live",
        min_score: MinScore = 0.0,
    ) -> Stream:
        check_media_type(request, MEDIA_TYPE)
        wanted = reference(shard_id, generation, ontology)
        card = await asyncio.to_thread(catalogue.resolve, wanted)
        ask = partial(canaries.predict, card, live=is_live(wanted))
        return Stream(request, settings, ModelUsed.of(card), min_score, ask)


def _add_models(api: FastAPI, catalogue: Catalogue) -> None:
    @api.get("/v1/models", summary="Live micro-models", dependencies=[READ])
    def models(
        after: Annotated[str, Query(description="`next_after` of the page before", max_length=500)] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> ModelPage:
        cards, next_after = catalogue.page(after=after, limit=limit)
        return ModelPage(models=[ModelCard.of(card) for card in cards], next_after=next_after)

    @api.get("/v1/models/{shard_id}", summary="One micro-model", responses=problems(404), dependencies=[READ])
    def model(shard_id: ShardId, ontology: Ontology = None, generation: Generation = "live") -> ModelCard:
        return ModelCard.of(catalogue.resolve(reference(shard_id, generation, ontology)))


def _add_health(api: FastAPI, catalogue: Catalogue, hosts: Hosts) -> None:
    @api.get("/healthz", summary="The process is alive")
    async def healthz() -> Health:
        return Health()

    @api.get("/readyz", summary="The store can be read and a host answers", responses=problems(504))
    async def readyz() -> Health:
        await asyncio.to_thread(catalogue.check)
        await hosts.check()
        return Health()


def _add_document(api: FastAPI) -> None:
    @api.get("/openapi.json", include_in_schema=False, dependencies=[READ])
    def document() -> JSONResponse:
        return JSONResponse(api.openapi())


def _prediction(card: Card, answer: Answer, min_score: float, started: float) -> Prediction:
    pairs = zip(answer.labels, answer.sizes_wh, strict=True)
    measured: dict[str, Any] = {name: getattr(answer, name) for name in ("prepare_s", "wait_s", "model_s", "batch_images")}
    return Prediction(
        model=ModelUsed.of(card),
        images=[ImageLabels.of(labels, size_wh, min_score, answer.keypoint_names) for labels, size_wh in pairs],
        timings=Timings(**measured, total_s=time.perf_counter() - started),
    )
