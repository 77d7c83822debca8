"""What a shard's domain looks like: some of its frames, and how far apart they are."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.shards import Shard
from training.data.sources import open_frames
from training.errors import BadInput
from training.loop.sample import evenly_spaced
from training.models.eye import Eye
from training.store.descriptors import Descriptor
from training.store.store import Store

__all__ = ["describe", "describe_missing", "spread"]

MAX_FRAMES = 25  # of a shard that are looked at
MIN_SPREAD = 0.05  # a camera that never moves must bear a slightly re-encoded picture; half the size as JPEG 50 is beyond it
MAX_SPREAD = 0.2  # frames that differ more are left outside: a domain as wide as unlike videos are apart would take in those too
ORDINARY = 0.9  # share of a shard's frames that are ordinary; the others may be a cut, a flash or a black frame


def describe(shard: Shard, eye: Eye, *, labelled: Collection[int] = ()) -> Descriptor:
    """Look at the labelled frames and at evenly spaced ones, MAX_FRAMES altogether.

    Raises:
        BadVideo, BadPicture: a frame cannot be decoded.
    """
    frame_indices = _frames(shard.num_frames, sorted(labelled))
    with open_frames(shard) as source:
        seen_KD = np.stack([eye.glance(frame) for frame in source.read(frame_indices)])
    return Descriptor(
        shard_id=shard.shard_id, eye=eye.identity, frames_K=np.array(frame_indices), seen_KD=seen_KD, spread=spread(seen_KD)
    )


def describe_missing(store: Store, eye: Eye, shard_ids: Collection[str]) -> Iterator[Descriptor | BadInput]:
    """Describe those of these shards that nobody has described for this network, and keep it in the store.

    Yields:
        What was written or, for a shard whose frames cannot be read, why; its message names the file.
    Raises:
        UnknownShard: the store has no such shard.
        StoreFull, StoreUnusable: nothing more can be kept.
    """
    for shard_id in sorted(set(shard_ids) - set(store.descriptors.shard_ids(eye.identity))):
        shard, labelled = store.shard(shard_id), _labelled(store, shard_id)
        try:
            descriptor = describe(shard, eye, labelled=labelled)
        except BadInput as error:
            yield error
        else:
            yield store.descriptors.add(descriptor)


def spread(seen_KD: NDArray[np.float32]) -> float:
    """How far an ordinary one of these rows is from the nearest other one, from MIN_SPREAD to MAX_SPREAD."""
    if len(seen_KD) < 2:
        return MIN_SPREAD
    squared_KK = 2 - 2 * (seen_KD @ seen_KD.T).astype(np.float64)
    np.fill_diagonal(squared_KK, np.inf)
    distance_K = np.sqrt(np.maximum(squared_KK.min(axis=1), 0))
    return float(np.clip(np.quantile(distance_K, ORDINARY), MIN_SPREAD, MAX_SPREAD))


def _frames(num_frames: int, labelled: Sequence[int]) -> list[int]:
    """All labelled frames if they are few, else evenly spaced ones of them; the remaining places are evenly spaced."""
    chosen = {labelled[position] for position in evenly_spaced(len(labelled), MAX_FRAMES)}
    return sorted(chosen | set(evenly_spaced(num_frames, MAX_FRAMES - len(chosen))))


def _labelled(store: Store, shard_id: str) -> set[int]:
    return {frame.frame_index for ontology in store.labelled(shard_id) for frame in store.labels_to_fit(shard_id, ontology)}
