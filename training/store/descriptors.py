"""What the domains of shards look like to a network: one small object a shard, written once and never changed."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from training.data.identifiers import check_identifier
from training.errors import AlreadyExists, MissingObject, StoreUnusable, WrongShape
from training.store.objects import ObjectStore, read_each

__all__ = ["Descriptor", "Descriptors"]

_PART = ".safetensors"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descriptor:
    """What K frames of a shard look like, and how far apart frames of it are.

    eye: identity of the network that looked.
    frames_K: int64, which frames.  seen_KD: float32 rows of length 1; in the store float16.
    spread: the distance that ordinary frames of this shard have from the nearest other one that was looked at.
    """

    shard_id: str
    eye: str
    frames_K: NDArray[np.int64]
    seen_KD: NDArray[np.float32]
    spread: float

    def __post_init__(self) -> None:
        if self.seen_KD.ndim != 2 or self.frames_K.shape != self.seen_KD.shape[:1] or not len(self.seen_KD):
            raise WrongShape(
                f"{self.shard_id}: {self.frames_K.shape} frames with {self.seen_KD.shape} rows, needed (K,) and (K, D)"
            )
        if not (np.isfinite(self.seen_KD).all() and np.isfinite(self.spread) and self.spread > 0):
            raise WrongShape(f"{self.shard_id}: spread {self.spread} or a row is not finite, needed a spread above 0")


class Descriptors:
    """The descriptors of one store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def add(self, descriptor: Descriptor) -> Descriptor:
        """Commit it and return it as it is in the store; who comes second gets the first one's. Raises StoreFull."""
        tensors: dict[str, NDArray[Any]] = {
            "frames": descriptor.frames_K,
            "seen": descriptor.seen_KD.astype(np.float16),
            "spread": np.array([descriptor.spread], np.float32),
        }
        key = _key(descriptor.eye, descriptor.shard_id)
        with suppress(AlreadyExists):  # the first one stays
            self._objects.create(key, safetensors.numpy.save(tensors))
        return _unpack(self._objects.read(key), descriptor.eye, descriptor.shard_id)

    def get(self, eye: str, shard_id: str) -> Descriptor | None:
        """None where nobody has described this shard for this network. Raises StoreUnusable: it is damaged."""
        try:
            return _unpack(self._objects.read(_key(eye, shard_id)), eye, shard_id)
        except MissingObject:
            return None

    def shard_ids(self, eye: str) -> list[str]:
        """Which shards are described for this network, sorted; one listing."""
        names = self._objects.children(_folder(eye))
        return sorted(name.removesuffix(_PART) for name in names if name.endswith(_PART))

    def read(self, eye: str, shard_ids: Collection[str]) -> Iterator[Descriptor]:
        """The descriptors of these shards, sorted by shard, several read at a time.

        Raises:
            MissingObject: one is not there.
            StoreUnusable: one is damaged; names it.
        """
        wanted = sorted(shard_ids)
        read = read_each(self._objects, [_key(eye, shard_id) for shard_id in wanted])
        for shard_id, data in zip(wanted, read, strict=True):
            yield _unpack(data, eye, shard_id)


def _unpack(data: bytes, eye: str, shard_id: str) -> Descriptor:
    try:
        tensors = safetensors.numpy.load(data)
        seen_KD = tensors["seen"].astype(np.float32)
        return Descriptor(
            shard_id=shard_id,
            eye=eye,
            frames_K=tensors["frames"],
            seen_KD=seen_KD / np.maximum(np.linalg.norm(seen_KD, axis=1, keepdims=True), 1e-9),
            spread=float(tensors["spread"].item()),
        )
    except (KeyError, ValueError, SafetensorError, WrongShape) as error:
        raise StoreUnusable(
            f"{_key(eye, shard_id)}: {error}; needed frames, seen and spread as this software writes them"
        ) from error


def _folder(eye: str) -> str:
    return f"domains/{check_identifier(eye, 'network')}/"


def _key(eye: str, shard_id: str) -> str:
    return f"{_folder(eye)}{check_identifier(shard_id, 'shard id')}{_PART}"
