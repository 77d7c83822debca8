"""What the domains of shards look like to a network: one small object a shard, written once and never changed."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from training.data.identifiers import check_identifier
from training.errors import AlreadyExists, MissingObject, StoreUnusable, WrongShape
from training.store.objects import ObjectStore

__all__ = ["Descriptor", "Descriptors"]

_ROOT, _PART = "domains/", ".safetensors"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descriptor:
    """What K frames of a shard look like, and how far they are from one another.

    eye: identity of the network that looked.
    frames_K: int64, which frames were looked at.
    seen_MD: float32 rows of length 1, in the store float16: the frames as they are, then the same in a worse copy.
    own_VK: float32, how far each frame in each of V views is from the nearest row of another frame.
    ring_P2: float64 longitude and latitude around a scene that is on a map, (0, 2) elsewhere.
    """

    shard_id: str
    eye: str
    frames_K: NDArray[np.int64]
    seen_MD: NDArray[np.float32]
    own_VK: NDArray[np.float32]
    ring_P2: NDArray[np.float64]

    def __post_init__(self) -> None:
        num_frames, num_rows = len(self.frames_K), len(self.seen_MD)
        shapes = self.frames_K.shape, self.seen_MD.shape, self.own_VK.shape, self.ring_P2.shape
        if (
            [len(shape) for shape in shapes] != [1, 2, 2, 2]
            or not num_frames
            or num_rows != 2 * num_frames
            or shapes[2][1] != num_frames
            or shapes[3][1] != 2
        ):
            raise WrongShape(f"{self.shard_id}: {shapes}, needed (K,), (2 K, D), (V, K) and (P, 2)")
        if not all(np.isfinite(values).all() for values in (self.seen_MD, self.own_VK, self.ring_P2)):
            raise WrongShape(f"{self.shard_id}: a row, distance or place is not finite")

    @property
    def plain_KD(self) -> NDArray[np.float32]:
        """The frames as they are."""
        return self.seen_MD[: len(self.frames_K)]

    @property
    def apart_K(self) -> NDArray[np.float32]:
        """How far each of them is from the nearest row of another frame."""
        apart_K: NDArray[np.float32] = self.own_VK[0]
        return apart_K


class Descriptors:
    """The descriptors of one store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def add(self, descriptor: Descriptor) -> Descriptor:
        """Commit it and return it as it is in the store; who comes second gets the first one's. Raises StoreFull."""
        tensors: dict[str, NDArray[Any]] = {
            "frames": descriptor.frames_K,
            "seen": descriptor.seen_MD.astype(np.float16),
            "own": descriptor.own_VK,
            "ring": descriptor.ring_P2,
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

    def eyes(self) -> list[str]:
        """Networks that something is described for, sorted; one listing."""
        return [name.removesuffix("/") for name in self._objects.children(_ROOT) if name.endswith("/")]

    def shard_ids(self, eye: str) -> list[str]:
        """Which shards are described for this network, sorted; one listing."""
        names = self._objects.children(_folder(eye))
        return sorted(name.removesuffix(_PART) for name in names if name.endswith(_PART))


def _unpack(data: bytes, eye: str, shard_id: str) -> Descriptor:
    try:
        tensors = safetensors.numpy.load(data)
        seen_MD = tensors["seen"].astype(np.float32)
        return Descriptor(
            shard_id=shard_id,
            eye=eye,
            frames_K=tensors["frames"],
            seen_MD=seen_MD / np.maximum(np.linalg.norm(seen_MD, axis=1, keepdims=True), 1e-9),
            own_VK=tensors["own"],
            ring_P2=tensors["ring"],
        )
    except (KeyError, ValueError, SafetensorError, WrongShape) as error:
        raise StoreUnusable(
            f"{_key(eye, shard_id)}: {error}; needed frames, seen, own and ring as this software writes them"
        ) from error


def _folder(eye: str) -> str:
    return f"{_ROOT}{check_identifier(eye, 'network')}/"


def _key(eye: str, shard_id: str) -> str:
    return f"{_folder(eye)}{check_identifier(shard_id, 'shard id')}{_PART}"
