"""Routes that put a generation on trial, show how it does, take it back, and make it live."""

import asyncio
import logging

from fastapi import FastAPI, Request

from services.asking import Ontology, ShardId
from services.body import read_json
from services.canaries import Canaries
from services.canary_examples import CANARY, CANARY_BODY
from services.canary_schemas import CanaryIn, CanaryOut
from services.catalogue import Catalogue, reference
from services.examples import problems
from services.gate import ADMIN, READ
from services.settings import Settings
from training.errors import ConflictingCanary, UnknownModel
from training.loop.canary import end_canary, promote_canary, running_canary, start_canary
from training.loop.canary_figures import Sums
from training.store.canaries import Canary

__all__ = ["add_canaries"]

PATH = "/v1/models/{shard_id}/canary"
NEEDED = '{"generation": 3, "share": 0.1}'
SHOWN = {"content": {"application/json": {"example": CANARY}}}
_log = logging.getLogger(__name__)


def add_canaries(api: FastAPI, catalogue: Catalogue, canaries: Canaries, settings: Settings) -> None:
    """Add the routes; answers to nothing until it is served."""
    _add_start(api, catalogue, canaries, settings)
    _add_shown(api, catalogue)
    _add_end(api, catalogue, canaries)


def _add_start(api: FastAPI, catalogue: Catalogue, canaries: Canaries, settings: Settings) -> None:
    @api.put(
        PATH,
        summary="Put a generation on trial",
        dependencies=[ADMIN],
        response_model_exclude_none=True,
        responses={200: SHOWN, **problems(404, 408, 409, 413, 415)},
        openapi_extra={"requestBody": CANARY_BODY},
    )
    async def start(request: Request, shard_id: ShardId, ontology: Ontology = None) -> CanaryOut:
        given = await read_json(request, CanaryIn, settings, needed=NEEDED)
        name, who = _name(shard_id, ontology), request.scope.get("key")
        how = {"limits": given.to_limits(), "started_by": who}
        registry = catalogue.store.registry
        started = await asyncio.to_thread(start_canary, registry, name, ontology, given.generation, given.share, **how)
        canaries.forget()
        said = request.scope.get("request_id"), who, f"{name}@{given.generation}", given.share
        _log.info("canary started request_id=%s key=%s model=%s share=%s", *said)
        return CanaryOut.of(started, Sums(), started.against)


def _add_shown(api: FastAPI, catalogue: Catalogue) -> None:
    @api.get(
        PATH,
        summary="The generation on trial, or the last one that was",
        dependencies=[READ],
        response_model_exclude_none=True,
        responses={200: SHOWN, **problems(404)},
    )
    def shown(shard_id: ShardId, ontology: Ontology = None) -> CanaryOut:
        name, its_ontology = _model(catalogue, shard_id, ontology)
        canary = catalogue.store.registry.canaries.newest(name, its_ontology)
        if canary is None:
            raise UnknownModel(f"{name} {its_ontology}: no generation was ever on trial")
        return _out(catalogue, canary)


def _add_end(api: FastAPI, catalogue: Catalogue, canaries: Canaries) -> None:
    @api.delete(
        PATH,
        summary="Take a generation on trial back",
        dependencies=[ADMIN],
        response_model_exclude_none=True,
        responses={200: SHOWN, **problems(404, 409)},
    )
    def withdraw(request: Request, shard_id: ShardId, ontology: Ontology = None) -> CanaryOut:
        canary, who = _running(catalogue, shard_id, ontology), request.scope.get("key")
        reason = f"withdrawn by {who}" if who else "withdrawn"
        ended = end_canary(catalogue.store.registry, canary, "withdrawn", reason, by=who)
        canaries.ended(ended, "withdrawn", str(ended.reason))
        return _out(catalogue, ended)

    @api.post(
        f"{PATH}/promote",
        summary="Make a generation on trial live",
        dependencies=[ADMIN],
        response_model_exclude_none=True,
        responses={200: SHOWN, **problems(404, 409)},
    )
    def promote(request: Request, shard_id: ShardId, ontology: Ontology = None) -> CanaryOut:
        canary = _running(catalogue, shard_id, ontology)
        ended = promote_canary(catalogue.store.registry, canary, by=request.scope.get("key"))
        canaries.ended(ended, "promoted", str(ended.reason))
        return _out(catalogue, ended)


def _name(shard_id: str, ontology: str | None) -> str:
    return reference(shard_id, "live", ontology)[0].partition("@")[0]


def _model(catalogue: Catalogue, shard_id: str, ontology: str | None) -> tuple[str, str]:
    card = catalogue.resolve(reference(shard_id, "live", ontology))
    return card.shard_id, card.ontology


def _running(catalogue: Catalogue, shard_id: str, ontology: str | None) -> Canary:
    name, its_ontology = _model(catalogue, shard_id, ontology)
    canary = running_canary(catalogue.store.registry, name, its_ontology)
    if canary is None:
        raise ConflictingCanary(f"{name} {its_ontology}: no generation is on trial")
    return canary


def _out(catalogue: Catalogue, canary: Canary) -> CanaryOut:
    registry = catalogue.store.registry
    return CanaryOut.of(canary, Sums.total(registry.canaries.reports(canary)), registry.live(canary.shard_id, canary.ontology))
