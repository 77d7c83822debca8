"""Routes of assembly lines: declare them, look at them, run pictures through them."""

import asyncio
import logging
import time
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request

from services.asking import Hosts
from services.body import read_json
from services.catalogue import Catalogue
from services.examples import PREDICT_BODY, problems
from services.gate import ADMIN, PREDICT, READ
from services.line_examples import LINE, LINE_BODY, LINE_PREDICTION
from services.line_schemas import LineIn, LineOut, LinePage, LinePrediction
from services.payload import read_pictures
from services.settings import Settings

__all__ = ["add_lines"]

_log = logging.getLogger(__name__)
NEEDED = '{"stages": [{"name": …, "model": "shard@live", …}, {"name": …, "model": …, "input": …, …}]}'
LineName = Annotated[str, Path(description="A line; also 'parcels@2' for one version of it", examples=["parcels", "parcels@2"])]


def add_lines(api: FastAPI, catalogue: Catalogue, hosts: Hosts, settings: Settings) -> None:
    """Add the routes; answers to nothing until it is served."""
    _add_saved(api, catalogue, settings)
    _add_predict(api, catalogue, hosts, settings)


def _add_saved(api: FastAPI, catalogue: Catalogue, settings: Settings) -> None:
    @api.get("/v1/lines", summary="Assembly lines", dependencies=[READ])
    def page(
        after: Annotated[str, Query(description="`next_after` of the page before", max_length=500)] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> LinePage:
        found, next_after = catalogue.lines.page(after=after, limit=limit)
        return LinePage(lines=[LineOut.of(line) for line in found], next_after=next_after)

    @api.get(
        "/v1/lines/{name}",
        summary="One assembly line",
        dependencies=[READ],
        responses={200: {"content": {"application/json": {"example": LINE}}}, **problems(404)},
    )
    def line(name: LineName) -> LineOut:
        return LineOut.of(catalogue.lines.get(name))

    @api.put(
        "/v1/lines/{name}",
        summary="Save a line, as a new version if it differs from the current one",
        dependencies=[ADMIN],
        responses={200: {"content": {"application/json": {"example": LINE}}}, **problems(408, 413, 415)},
        openapi_extra={"requestBody": LINE_BODY},
    )
    async def save(request: Request, name: Annotated[str, Path(description="Of the line", examples=["parcels"])]) -> LineOut:
        given = await read_json(request, LineIn, settings, needed=NEEDED)
        saved = await asyncio.to_thread(catalogue.lines.save, given.line(name))
        _log.info("line saved request_id=%s key=%s line=%s", request.scope.get("request_id"), request.scope.get("key"), saved.ref)
        return LineOut.of(saved)


def _add_predict(api: FastAPI, catalogue: Catalogue, hosts: Hosts, settings: Settings) -> None:
    @api.post(
        "/v1/lines/{name}/predict",
        response_model_exclude_none=True,
        responses={200: {"content": {"application/json": {"example": LINE_PREDICTION}}}, **problems(404, 408, 413, 415, 504)},
        openapi_extra={"requestBody": PREDICT_BODY},
        dependencies=[PREDICT],
        summary="Label pictures with an assembly line",
    )
    async def predict(request: Request, name: LineName) -> LinePrediction:
        started = time.perf_counter()
        line = await asyncio.to_thread(catalogue.lines.ready, name)
        answer = await hosts.run_line(line, await read_pictures(request, settings))
        return LinePrediction.of(line, answer, time.perf_counter() - started)
