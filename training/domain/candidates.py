"""Which shards may answer for a picture now: those that are live and described; and which of them one is for."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.domain.nearest import Abstention, Domains, Found, Near
from training.errors import StoreUnusable
from training.store.ahead import ahead
from training.store.descriptors import Descriptor
from training.store.store import Store

__all__ = ["CandidateReader", "Candidates", "Chosen"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The micro-model that a picture is for.

    distance: from the shard's domain, at most 1; None where the place told, and nobody looked.
    next: the nearest other domain, if any.
    """

    shard_id: str
    ontology: str
    distance: float | None = None
    next: Near | None = None


class Candidates:
    """Never changed, so threads can share one."""

    def __init__(self, domains: Domains, live: Mapping[str, tuple[str, ...]]) -> None:
        """live: the ontologies that each live shard has models for."""
        self.domains = domains
        self._live = {shard_id: live[shard_id] for shard_id in domains.shard_ids}
        self.undescribed = tuple(sorted(set(live) - set(domains.shard_ids)))

    def choose(
        self,
        look: Callable[[], NDArray[np.float32]],
        *,
        ontology: str | None = None,
        place: tuple[float, float] | None = None,
    ) -> Chosen | Abstention:
        """The micro-model for a picture, or why there is none.

        Where the place (longitude, latitude) is in one scene alone, that scene answers; where it is in several, the one it
        looks like; where it is in none, no scene that is on a map can be meant.

        Args:
            look: what the eye sees of it, asked at most once.
            ontology: only models of this one.
        """
        able = {shard_id for shard_id, names in self._live.items() if ontology is None or ontology in names}
        if place is not None:
            here = able.intersection(self.domains.around(*place))
            if len(here) == 1:
                return self._chosen(here.pop(), ontology)
            able = here or able - self.domains.on_a_map
        answer = self.domains.nearest_to(look(), able) if able else Abstention(reason="no-domains")
        if isinstance(answer, Abstention):
            return answer
        return self._chosen(answer.shard_id, ontology, answer)

    def _chosen(self, shard_id: str, ontology: str | None, found: Found | None = None) -> Chosen | Abstention:
        distance, beside = (None, None) if found is None else (found.distance, found.next)
        names = self._live[shard_id] if ontology is None else (ontology,)
        if len(names) == 1:
            return Chosen(shard_id=shard_id, ontology=names[0], distance=distance, next=beside)
        near = [] if distance is None else [Near(shard_id=shard_id, distance=distance)]
        return Abstention(reason="several-models", nearest=(*near, *([beside] if beside else [])), ontologies=names)


class CandidateReader:
    """Reads candidates from a store again and again, every descriptor once; one thread at a time."""

    def __init__(self, store: Store, eye: str) -> None:
        """eye: identity of the network that looks."""
        self._store, self._eye = store, eye
        self._known: dict[str, Descriptor] = {}
        self._unusable: set[str] = set()
        self._domains = Domains(eye, [])

    def read(self) -> Candidates:
        """Two listings, and what is new.

        A descriptor that cannot be read is said in the log, and its shard counts as not described.

        Raises:
            StoreUnusable: the store cannot be read.
        """
        live: dict[str, tuple[str, ...]] = {}
        for shard_id, ontology in self._store.registry.live_models():
            live[shard_id] = (*live.get(shard_id, ()), ontology)
        there = live.keys() & set(self._store.descriptors.shard_ids(self._eye))
        new = sorted(there - self._known.keys())
        read = dict(zip(new, ahead(self._read, new), strict=True))
        self._known = {
            shard_id: one for shard_id, one in {**self._known, **read}.items() if one is not None and shard_id in there
        }
        if set(self._domains.shard_ids) != self._known.keys():
            self._domains = Domains(self._eye, [self._known[shard_id] for shard_id in sorted(self._known)])
        return Candidates(self._domains, live)

    def _read(self, shard_id: str) -> Descriptor | None:
        try:
            return self._store.descriptors.get(self._eye, shard_id)
        except StoreUnusable as error:
            if shard_id not in self._unusable:
                log.warning("descriptor unusable shard_id=%s error=%s", shard_id, error)
            self._unusable.add(shard_id)
            return None
