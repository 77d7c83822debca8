"""Routes for the rules that lead pictures to micro-models, and the rules as they are now."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from fastapi import FastAPI, Request

from services.body import read_json
from services.catalogue import Catalogue
from services.examples import problems
from services.gate import ADMIN, READ
from services.routing_examples import ROUTES, ROUTES_BODY
from services.rules_schemas import RoutesIn, RoutesOut
from services.settings import Settings
from training.domain.rules import Rules
from training.domain.saved_rules import read_rules, save_rules

__all__ = ["RuleBook", "add_rules"]

NEEDED = '{"rules": [{"name": …, "shard_id": …, "video": …}]}'
_log = logging.getLogger(__name__)


class RuleBook:
    """The rules of the catalogue's store, remembered for a short while; thread-safe, and blocking."""

    def __init__(self, catalogue: Catalogue, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._catalogue, self._settings, self._clock = catalogue, settings, clock
        self._lock = threading.Lock()
        self._remembered: tuple[float, Rules] | None = None

    def rules(self) -> Rules:
        """At most `live_ttl_s` old.

        Raises:
            StoreUnusable: the store cannot be read now, or its rules are damaged.
        """
        with self._lock:  # one reading under way, however many ask
            if self._remembered is None or self._remembered[0] <= self._clock():
                self._remembered = (self._clock() + self._settings.live_ttl_s, read_rules(self._catalogue.store))
            return self._remembered[1]

    def save(self, given: RoutesIn) -> Rules:
        """Raises BadRules, BadShardId, and what `save_rules` raises."""
        rules = Rules.from_json([one.to_json() for one in given.rules])
        saved = save_rules(self._catalogue.store, rules, replaces=given.replaces)
        with self._lock:
            self._remembered = None
        return saved


def add_rules(api: FastAPI, book: RuleBook, settings: Settings) -> None:
    """Add the routes; answers to nothing until it is served."""

    @api.get(
        "/v1/routes",
        dependencies=[READ],
        summary="The rules that lead pictures to micro-models",
        response_model_exclude_none=True,
        responses={200: {"content": {"application/json": {"example": ROUTES}}}},
    )
    def routes() -> RoutesOut:
        return RoutesOut.of(book.rules())

    @api.put(
        "/v1/routes",
        dependencies=[ADMIN],
        summary="Replace those rules",
        response_model_exclude_none=True,
        responses={200: {"content": {"application/json": {"example": ROUTES}}}, **problems(404, 408, 409, 413, 415)},
        openapi_extra={"requestBody": ROUTES_BODY},
    )
    async def replace_routes(request: Request) -> RoutesOut:
        given = await read_json(request, RoutesIn, settings, needed=NEEDED)
        saved = await asyncio.to_thread(book.save, given)
        said = request.scope.get("request_id"), request.scope.get("key"), saved.number, len(saved.rules)
        _log.info("routes saved request_id=%s key=%s number=%d rules=%d", *said)
        return RoutesOut.of(saved)
