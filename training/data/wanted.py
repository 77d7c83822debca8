"""Which frames of a shard a caller asked for, checked before anything is decoded."""

from collections.abc import Iterable, Sequence

from training.data.shards import Shard
from training.errors import UnknownFrame

__all__ = ["wanted_frames"]


def wanted_frames(shard: Shard, frame_indices: Iterable[int] | None) -> Sequence[int]:
    """The frame indices in increasing order, each once; all of the shard's for None.

    Raises:
        UnknownFrame: an index outside 0..num_frames-1.
    """
    if frame_indices is None:
        return range(shard.num_frames)
    wanted = sorted({int(index) for index in frame_indices})
    outside = [index for index in wanted if not 0 <= index < shard.num_frames]
    if outside:
        raise UnknownFrame(f"{shard.shard_id}: frame {outside[0]} does not exist, needed 0 to {shard.num_frames - 1}")
    return wanted
