"""The routes of Label Studio's protocol, under a prefix of their own; its keys come as the password of basic authentication."""

import asyncio

from fastapi import FastAPI, Request

from services.asking import Hosts
from services.body import read_json
from services.catalogue import Catalogue
from services.examples import problems
from services.gate import TOOL_ANNOTATE, TOOL_PREDICT
from services.job_desk import JobDesk
from services.label_studio.events import Events
from services.label_studio.examples import EVENT_BODY, PREDICT_BODY, PREDICTED, SETUP_BODY
from services.label_studio.predicting import Predictor
from services.label_studio.projects import Projects
from services.label_studio.refitting import Refitter
from services.label_studio.schemas import Done, Event, Health, PredictIn, PredictOut, SetupIn, SetupOut
from services.rules import RuleBook
from services.settings import Settings
from services.submitting import Submitter

__all__ = ["add_label_studio"]

PREFIX = "/label-studio"
NEEDED = "what Label Studio sends"


def add_label_studio(
    api: FastAPI, catalogue: Catalogue, hosts: Hosts, book: RuleBook, settings: Settings, jobs: Submitter | None
) -> None:
    """Add the routes; answers to nothing until it is served."""
    projects = Projects(catalogue, settings)
    _add_health(api)
    _add_setup(api, projects, settings)
    _add_predict(api, Predictor(catalogue, hosts, book, settings, projects), settings)
    refitter = Refitter(catalogue, settings, JobDesk(catalogue, settings, jobs))
    _add_webhook(api, Events(catalogue, settings, projects, refitter), settings)


def _add_health(api: FastAPI) -> None:
    @api.get(f"{PREFIX}/health", summary="Label Studio: the process is alive")
    async def label_studio_health() -> Health:
        return Health()


def _add_setup(api: FastAPI, projects: Projects, settings: Settings) -> None:
    @api.post(
        f"{PREFIX}/setup",
        dependencies=[TOOL_PREDICT],
        summary="Label Studio: whether a project can be labelled",
        responses=problems(408, 413, 415),
        openapi_extra={"requestBody": SETUP_BODY},
    )
    async def label_studio_setup(request: Request) -> SetupOut:
        given = await read_json(request, SetupIn, settings, needed=NEEDED)
        project = await asyncio.to_thread(projects.of, given.label_config)
        return SetupOut(model_version=await asyncio.to_thread(projects.version, project))


def _add_predict(api: FastAPI, predictor: Predictor, settings: Settings) -> None:
    @api.post(
        f"{PREFIX}/predict",
        dependencies=[TOOL_PREDICT],
        summary="Label Studio: label its tasks",
        responses={200: {"content": {"application/json": {"example": PREDICTED}}}, **problems(408, 413, 415, 504)},
        openapi_extra={"requestBody": PREDICT_BODY},
    )
    async def label_studio_predict(request: Request) -> PredictOut:
        given = await read_json(request, PredictIn, settings, needed=NEEDED)
        return PredictOut(results=await predictor.predict(given))


def _add_webhook(api: FastAPI, events: Events, settings: Settings) -> None:
    @api.post(
        f"{PREFIX}/webhook",
        dependencies=[TOOL_ANNOTATE],
        summary="Label Studio: keep what people submitted, and fit again",
        responses=problems(404, 408, 409, 413, 415, 501),
        openapi_extra={"requestBody": EVENT_BODY},
    )
    async def label_studio_webhook(request: Request) -> Done:
        given = await read_json(request, Event, settings, needed=NEEDED)
        return await events.take(given, request.scope.get("key"))
