"""What a shard's domain looks like: some of its frames, and how far the others are from them."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.data.frames import Frame
from training.data.shards import Shard
from training.data.sources import open_frames
from training.domain.footprint import footprint
from training.domain.views import KEPT, VIEWS
from training.errors import BadInput
from training.loop.sample import evenly_spaced
from training.models.eye import Eye
from training.store.descriptors import Descriptor
from training.store.store import Store

__all__ = ["condensed", "describe", "describe_each", "look", "undescribed", "whole_tiles"]

MAX_FRAMES = 20  # of a shard that are looked at: enough that one of them may be unlike all others, and 15 KB


def describe(shard: Shard, eye: Eye, *, labelled: Collection[int] = ()) -> Descriptor:
    """Look at the labelled frames and at evenly spaced ones, MAX_FRAMES altogether, each in all VIEWS.

    Raises:
        BadVideo, BadPicture: a frame cannot be decoded.
        BadInput, MissingExtra: where a scene lies cannot be told.
    """
    frame_indices = _frames(shard, labelled)
    with open_frames(shard) as source:
        seen_KVD = np.stack([look(frame, eye) for frame in source.read(frame_indices)])
    return condensed(shard.shard_id, eye.identity, frame_indices, seen_KVD, ring_P2=footprint(shard))


def look(frame: Frame, eye: Eye) -> NDArray[np.float32]:
    """(V, D): what the frame looks like in all VIEWS."""
    alone = frame.alone()
    return np.stack([eye.glance(replace(alone, image_HW3=view(alone.image_HW3))) for view in VIEWS])


def condensed(
    shard_id: str, eye: str, frame_indices: Sequence[int], seen_KVD: NDArray[np.float32], *, ring_P2: NDArray[np.float64]
) -> Descriptor:
    """What is kept of K frames that were looked at in all VIEWS."""
    return Descriptor(
        shard_id=shard_id,
        eye=eye,
        frames_K=np.array(frame_indices, np.int64),
        seen_MD=seen_KVD[:, :KEPT].swapaxes(0, 1).reshape(-1, seen_KVD.shape[2]),
        own_VK=_own_distances(seen_KVD),
        ring_P2=ring_P2,
    )


def describe_each(store: Store, eye: Eye, shard_ids: Iterable[str]) -> Iterator[Descriptor | BadInput]:
    """Describe these shards and keep it in the store; `undescribed` says which ones need it.

    Yields:
        What was written or, for a shard whose frames cannot be read, why; its message names the file.
    Raises:
        UnknownShard: the store has no such shard.
        StoreFull, StoreUnusable: nothing more can be kept.
    """
    for shard_id in shard_ids:
        shard, labelled = store.shard(shard_id), _labelled(store, shard_id)
        try:
            descriptor = describe(shard, eye, labelled=labelled)
        except BadInput as error:
            yield error
        else:
            yield store.descriptors.add(descriptor)


def undescribed(store: Store, eye: Eye, shard_ids: Collection[str]) -> list[str]:
    """Those of these shards that nobody has described for this network, sorted; one listing. Raises StoreUnusable."""
    return sorted(set(shard_ids) - set(store.descriptors.shard_ids(eye.identity)))


def _own_distances(seen_KVD: NDArray[np.float32]) -> NDArray[np.float32]:
    """(V, K): how far a frame in a view is from the nearest row of another frame; of the only frame, from itself."""
    if len(seen_KVD) == 1:
        cosine_KV = (seen_KVD @ seen_KVD[:, 0].T)[:, :, 0]
    else:
        cosine_KVK = np.einsum("kvd,jgd->kvjg", seen_KVD, seen_KVD[:, :KEPT]).max(axis=3)
        itself_K = np.arange(len(seen_KVD))
        cosine_KVK[itself_K, :, itself_K] = -1
        cosine_KV = cosine_KVK.max(axis=2)
    distance_VK: NDArray[np.float32] = np.sqrt(np.maximum(2 - 2 * cosine_KV, 0)).T
    return distance_VK


def _frames(shard: Shard, labelled: Collection[int]) -> list[int]:
    """All labelled frames if they are few, else evenly spaced ones of them; the remaining places are evenly spaced."""
    ordinary = whole_tiles(shard)
    candidates = sorted(set(labelled) & set(ordinary))
    chosen = {candidates[position] for position in evenly_spaced(len(candidates), MAX_FRAMES)}
    others = evenly_spaced(len(ordinary), MAX_FRAMES - len(chosen))
    return sorted(chosen | {ordinary[position] for position in others})


def whole_tiles(shard: Shard) -> Sequence[int]:
    """All frames; of a scene those that its edge does not cut short, if there are any: a sliver looks like nothing else."""
    if shard.scene is None:
        return range(shard.num_frames)
    windows = [shard.scene.window(shard.first_frame + index) for index in range(shard.num_frames)]
    whole = [index for index, one in enumerate(windows) if one.width == shard.width and one.height == shard.height]
    return whole or range(shard.num_frames)


def _labelled(store: Store, shard_id: str) -> set[int]:
    return {frame.frame_index for ontology in store.labelled(shard_id) for frame in store.labels_to_fit(shard_id, ontology)}
