"""Machine labels of one shard lie in one folder, an object for each clip of it, whose name says which frames it has."""

import re
from collections.abc import Mapping, Sequence

from training.data.annotations import FrameLabels
from training.errors import BadInput, UnknownFrame
from training.store.objects import ObjectStore

__all__ = ["check_clip", "clip_key", "clips_in"]

_CLIP = re.compile(r"(\d{8,})-(\d{8,})\.parquet")


def clip_key(folder: str, start: int, stop: int) -> str:
    """Of frames start..stop-1; `folder` ends in '/'."""
    return f"{folder}{start:08d}-{stop:08d}.parquet"


def clips_in(objects: ObjectStore, folder: str) -> list[tuple[tuple[int, int], str]]:
    """((start, stop), key) of the clips in a folder, in order; reads no object."""
    found = ((_CLIP.fullmatch(name), folder + name) for name in objects.children(folder))
    return sorted(((int(match[1]), int(match[2])), key) for match, key in found if match)


def check_clip(shard_id: str, start: int, stop: int, labels: Sequence[FrameLabels], errors: Mapping[int, str]) -> None:
    """
    Raises:
        BadInput: a clip without frames.
        UnknownFrame: a frame outside the clip or of another shard, or one of the clip that is missing or said twice.
    """
    if not 0 <= start < stop:
        raise BadInput(f"{shard_id}: clip {start}..{stop}, needed 0 <= start < stop")
    for frame in labels:
        if frame.shard_id != shard_id:
            raise UnknownFrame(f"{shard_id} clip {start}..{stop}: labels of shard {frame.shard_id}")
    said = sorted([*(frame.frame_index for frame in labels), *errors])
    if said != list(range(start, stop)):
        odd = sorted(set(said) ^ set(range(start, stop))) or [index for index in said if said.count(index) > 1]
        raise UnknownFrame(
            f"{shard_id} clip {start}..{stop}: frame {odd[0]} is outside, missing or said twice; needed each frame once"
        )
