"""The shard whose domain a picture is in, or a reason why it is in none."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.domain.footprint import inside
from training.domain.reach import reaches
from training.errors import BadInput
from training.store.descriptors import Descriptor

__all__ = ["Abstention", "Answer", "Domains", "Found", "Near"]

NEIGHBOURS = 3  # rows that have to agree where a picture is in several domains


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """A domain beside a picture. distance: from the nearest row of it, 1 where the domain ends."""

    shard_id: str
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The picture is in this shard's domain.

    distance: as in Near, at most 1.  next: the nearest other domain; None if there is no other.
    """

    shard_id: str
    distance: float
    next: Near | None = None

    @property
    def margin(self) -> float | None:
        """How much farther the next domain is."""
        return None if self.next is None else self.next.distance - self.distance


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstention:
    """No micro-model should answer.

    reason: no-domains (nothing to compare with), outside (of every domain), undecided (in several, and like several),
        several-models (in one, whose shard has them for several ontologies).
    nearest: up to two, the nearest first, for a person to look at.
    ontologies: to choose from, where the shard has several models.
    """

    reason: Literal["no-domains", "outside", "undecided", "several-models"]
    nearest: tuple[Near, ...] = ()
    ontologies: tuple[str, ...] = ()


Answer = Found | Abstention


class Domains:
    """The domains of many shards in memory, about 30 KB each; never changed, so threads can share one."""

    def __init__(self, eye: str, descriptors: Sequence[Descriptor]) -> None:
        """
        Args:
            eye: identity of the network that looked.
        Raises:
            BadInput: a descriptor was made by another network, or a shard comes twice.
        """
        for one in descriptors:
            if one.eye != eye:
                raise BadInput(f"{one.shard_id}: described by {one.eye}, needed {eye}")
        self.eye = eye
        self.shard_ids = tuple(one.shard_id for one in descriptors)
        if len(set(self.shard_ids)) < len(self.shard_ids):
            raise BadInput(f"{len(self.shard_ids)} descriptors of {len(set(self.shard_ids))} shards, needed one of each")
        self.reach_S = reaches(descriptors)
        self._rings = {one.shard_id: one.ring_P2 for one in descriptors if len(one.ring_P2)}
        rows = [one.seen_MD for one in descriptors]
        self._owner_M = np.repeat(np.arange(len(rows)), [len(some) for some in rows])
        self._starts_S = np.searchsorted(self._owner_M, np.arange(len(rows)))
        self._seen_MD = np.concatenate(rows) if rows else np.empty((0, 0), np.float32)

    @property
    def num_bytes(self) -> int:
        return int(self._seen_MD.nbytes + self._owner_M.nbytes + self._starts_S.nbytes + self.reach_S.nbytes)

    def around(self, lon: float, lat: float) -> list[str]:
        """Scenes that the place is in."""
        return [shard_id for shard_id, ring_P2 in self._rings.items() if inside(ring_P2, lon, lat)]

    @property
    def on_a_map(self) -> frozenset[str]:
        """Shards that are known to lie in one place on Earth."""
        return frozenset(self._rings)

    def nearest_to(self, seen_D: NDArray[np.float32], among: Collection[str] | None = None) -> Answer:
        """Which domain a picture is in, by what the eye saw of it.

        Args:
            among: only these shards, if they are known here.
        """
        candidates = self._places(among)
        if not len(candidates):
            return Abstention(reason="no-domains")
        cosine_M = self._seen_MD @ seen_D
        distance_S = self._in_reaches(cosine_M)
        order = candidates[np.argsort(distance_S[candidates], kind="stable")]
        near = tuple(Near(shard_id=self.shard_ids[place], distance=float(distance_S[place])) for place in order[:2])
        inside_S = order[distance_S[order] <= 1]
        if not len(inside_S):
            return Abstention(reason="outside", nearest=near)
        chosen = self._agreed(cosine_M, inside_S)
        if chosen is None:
            return Abstention(reason="undecided", nearest=near)
        beside = next((one for one in near if one.shard_id != self.shard_ids[chosen]), None)
        return Found(shard_id=self.shard_ids[chosen], distance=float(distance_S[chosen]), next=beside)

    def distances(self, seen_D: NDArray[np.float32]) -> NDArray[np.float64]:
        """(S,) from every domain, in units of its own reach: one product of a matrix and a vector."""
        return self._in_reaches(self._seen_MD @ seen_D)

    def _in_reaches(self, cosine_M: NDArray[np.float32]) -> NDArray[np.float64]:
        cosine_S = np.maximum.reduceat(cosine_M, self._starts_S).astype(np.float64)
        distance_S: NDArray[np.float64] = np.sqrt(np.maximum(2 - 2 * cosine_S, 0)) / self.reach_S
        return distance_S

    def _agreed(self, cosine_M: NDArray[np.float32], inside_S: NDArray[np.int64]) -> int | None:
        """The only one of these domains, or the one that all NEIGHBOURS nearest rows of them belong to."""
        if len(inside_S) == 1:
            return int(inside_S[0])
        rows = np.flatnonzero(np.isin(self._owner_M, inside_S))
        nearest = rows[np.argsort(-cosine_M[rows], kind="stable")[:NEIGHBOURS]]
        owners = set(self._owner_M[nearest].tolist())
        return owners.pop() if len(owners) == 1 else None

    def _places(self, among: Collection[str] | None) -> NDArray[np.int64]:
        wanted = frozenset(self.shard_ids if among is None else among)
        return np.array([place for place, shard_id in enumerate(self.shard_ids) if shard_id in wanted], np.int64)
