"""Which micro-model a reference means now: the registry, remembered for a short while."""

import math
import threading
import time
from collections.abc import Callable

from services.line_catalogue import LineCatalogue
from services.remembered import Remembered
from training.data.identifiers import check_identifier
from training.data.line import Stage
from training.errors import BadRequest, StoreUnusable, UnknownModel
from training.store.card import Card
from training.store.kept import KeptObjects
from training.store.registry import Registry
from training.store.store import Store

__all__ = ["Catalogue", "Reference", "reference"]

MAX_REMEMBERED = 20_000
Reference = tuple[str, str | None]  # 'shard@live' or 'shard@3', and the ontology


def reference(shard_id: str, generation: str, ontology: str | None) -> Reference:
    """The reference a request means; `shard_id` may itself be 'shard@live' or 'shard@3'.

    Raises:
        BadShardId: a name that no shard or ontology can have.
        BadRequest: the path and the query name different generations.
    """
    name, _, pinned = shard_id.partition("@")
    check_identifier(name, "shard id")
    if ontology is not None:
        check_identifier(ontology, "ontology")
    if pinned and generation != "live" and generation != pinned:
        raise BadRequest(f"{shard_id}: the path says generation {pinned}, the query {generation}; needed one")
    return f"{name}@{pinned or generation}", ontology


class Catalogue:
    """Thread-safe; every method may block on the store, which is `store`. lines: assembly lines, likewise.

    ttl_s: how long what was found out is believed.
    """

    def __init__(self, store: Store, *, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.ttl_s = ttl_s
        self._registry = Registry(KeptObjects(store.objects))
        self._clock = clock
        self._remembered: Remembered[Reference, Card] = Remembered(ttl_s=ttl_s, most=MAX_REMEMBERED, clock=clock)
        self.lines = LineCatalogue(store, resolve=self._of_stage, check=self.check, ttl_s=ttl_s, clock=clock)
        self._listing_lock = threading.Lock()
        self._listing: tuple[float, list[Card]] = (-math.inf, [])

    def resolve(self, wanted: Reference) -> Card:
        """The card that answers, at most `ttl_s` old.

        Raises:
            UnknownModel: there is no such micro-model or generation, or several ontologies and none was named.
            StoreUnusable: the store cannot be read now.
        """
        return self._remembered.get(wanted, lambda: self._asked(wanted))

    def page(self, *, after: str, limit: int) -> tuple[list[Card], str | None]:
        """At most `limit` live cards that follow `after` ('shard/ontology', '' for the first), and the next `after`."""
        following = [card for card in self._live_cards() if _place(card) > after]
        cards = following[:limit]
        return cards, _place(cards[-1]) if len(following) > limit else None

    def check(self) -> None:
        """
        Raises:
            StoreUnusable: the store is gone or does not answer.
        """
        if not self.store.objects.exists("store.json"):
            raise StoreUnusable(f"{self.store.url}: no store.json, needed a store")

    def _of_stage(self, stage: Stage) -> Card:
        return self.resolve((stage.model, stage.ontology))

    def _live_cards(self) -> list[Card]:
        with self._listing_lock:  # one listing under way, however many ask
            until, cards = self._listing
            if until <= self._clock():
                cards = sorted(self._registry.live_cards(), key=_place)
                if not cards:
                    self.check()
                self._listing = (self._clock() + self.ttl_s, cards)
            return cards

    def _asked(self, wanted: Reference) -> Card:
        try:
            return self._registry.resolve(*wanted)
        except UnknownModel:
            self.check()  # an absent store has no models either, but that is not the client's mistake
            raise


def _place(card: Card) -> str:
    return f"{card.shard_id}/{card.ontology}"
