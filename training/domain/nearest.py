"""The shard whose domain a picture is in, or a reason why it is in none."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.data.frames import Frame
from training.errors import BadInput
from training.models.eye import Eye
from training.store.descriptors import Descriptor
from training.store.store import Store

__all__ = ["Abstention", "Answer", "Domains", "Found"]

REACH = 1.1  # spreads from the nearest frame that was looked at: where a domain ends
LEAD = 1.2  # times as far as the nearest domain the next one has to be, if the picture is in both


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The picture is in this shard's domain.

    distance: from the nearest frame of the shard that was looked at, in units of the shard's own spread; at most REACH.
    next_shard_id, next_distance: the nearest other domain; None if there is no other.
    """

    shard_id: str
    distance: float
    next_shard_id: str | None = None
    next_distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstention:
    """No micro-model should answer.

    reason: no-domains (nothing to compare with), outside (of every domain), undecided (in several alike).
    nearest: up to two (shard_id, distance), the nearest first, for a person to look at.
    """

    reason: Literal["no-domains", "outside", "undecided"]
    nearest: tuple[tuple[str, float], ...] = ()


Answer = Found | Abstention


class Domains:
    """The domains of many shards in memory, 4 bytes x K x D each; never changed, so threads can share one."""

    def __init__(self, eye: Eye, descriptors: Sequence[Descriptor]) -> None:
        """
        Raises:
            BadInput: a descriptor was made by another network, or a shard comes twice.
        """
        for one in descriptors:
            if one.eye != eye.identity:
                raise BadInput(f"{one.shard_id}: described by {one.eye}, needed {eye.identity}")
        self.eye = eye
        self.shard_ids = tuple(one.shard_id for one in descriptors)
        if len(set(self.shard_ids)) < len(self.shard_ids):
            raise BadInput(f"{len(self.shard_ids)} descriptors of {len(set(self.shard_ids))} shards, needed one of each")
        self._starts_S = np.cumsum([0, *(len(one.seen_KD) for one in descriptors)])[:-1]
        self._spread_S = np.array([one.spread for one in descriptors])
        self._seen_MD = np.concatenate([np.empty((0, eye.num_features), np.float32), *(one.seen_KD for one in descriptors)])

    @classmethod
    def of(cls, store: Store, eye: Eye, *, among: Collection[str] | None = None) -> "Domains":
        """All domains that are described in the store for this network; `among` limits them to these shards.

        Raises:
            StoreUnusable: a descriptor is damaged, or the store cannot be read.
        """
        there = store.descriptors.shard_ids(eye.identity)
        wanted = there if among is None else set(among).intersection(there)
        return cls(eye, list(store.descriptors.read(eye.identity, wanted)))

    @property
    def num_bytes(self) -> int:
        return int(self._seen_MD.nbytes + self._starts_S.nbytes + self._spread_S.nbytes)

    def nearest(self, picture_HW3: NDArray[np.uint8]) -> Answer:
        """Which domain a uint8 RGB picture is in.

        Raises:
            WrongShape: it is not uint8 (H, W, 3).
        """
        frame = Frame(shard_id="picture", frame_index=0, image_HW3=picture_HW3)
        return self.nearest_to(self.eye.glance(frame))

    def nearest_to(self, seen_D: NDArray[np.float32]) -> Answer:
        """The same for what the eye saw already."""
        if not self.shard_ids:
            return Abstention(reason="no-domains")
        distance_S = self.distances(seen_D)
        best = np.argsort(distance_S, kind="stable")[:2]
        near = tuple((self.shard_ids[shard], float(distance_S[shard])) for shard in best)
        if near[0][1] > REACH:
            return Abstention(reason="outside", nearest=near)
        if len(near) < 2:
            return Found(shard_id=near[0][0], distance=near[0][1])
        if near[1][1] <= min(REACH, LEAD * near[0][1]):
            return Abstention(reason="undecided", nearest=near)
        return Found(shard_id=near[0][0], distance=near[0][1], next_shard_id=near[1][0], next_distance=near[1][1])

    def distances(self, seen_D: NDArray[np.float32]) -> NDArray[np.float64]:
        """(S,) from every domain, in units of its own spread: one product of a matrix and a vector."""
        cosine_S = np.maximum.reduceat(self._seen_MD @ seen_D, self._starts_S).astype(np.float64)
        distance_S: NDArray[np.float64] = np.sqrt(np.maximum(2 - 2 * cosine_S, 0)) / self._spread_S
        return distance_S
