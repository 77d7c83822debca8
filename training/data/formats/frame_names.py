"""What a frame's own file is called, and which frame a file is about."""

import re
from collections.abc import Callable, Set
from pathlib import Path

from training.data.images import pictures_in
from training.data.shards import Shard
from training.errors import BadInput, UnknownFrame

__all__ = ["files_of_frames", "frame_finder", "frame_namer"]


def frame_namer(shard: Shard) -> Callable[[int], str]:
    """A function from frame_index to the name of its picture without suffix: 'frame_000012', or the picture's own stem.

    Raises:
        BadInput: the folder of pictures is not here, or two pictures differ only in their suffix.
    """
    if shard.kind != "images":
        return lambda index: f"frame_{index:06d}"
    stems = _stems(shard)
    return lambda index: stems[index]


def frame_finder(shard: Shard) -> Callable[[str, str], int]:
    """The inverse: a function from (stem, where it was found) to frame_index; of a video, the number the stem ends in.

    Raises:
        UnknownFrame (the function): the stem names no frame.
    """
    numbers = {stem: index for index, stem in enumerate(_stems(shard))} if shard.kind == "images" else {}

    def find(stem: str, where: str) -> int:
        if shard.kind == "images":
            if stem not in numbers:
                raise UnknownFrame(f"{where}: {stem!r}, needed the name of a picture of {shard.uri}")
            return numbers[stem]
        match = re.search(r"(\d+)$", stem)
        if match is None or int(match[1]) >= shard.num_frames:
            raise UnknownFrame(
                f"{where}: {stem!r}, needed a name that ends in a frame 0..{shard.num_frames - 1} of {shard.shard_id}"
            )
        return int(match[1])

    return find


def files_of_frames(folder: Path, suffix: str, shard: Shard, *, beside: Set[str] = frozenset()) -> list[tuple[int, Path]]:
    """(frame_index, file) for the files of one suffix in a folder, by frame.

    Args:
        beside: names of files that may lie there and are passed over if they belong to no frame.
    Raises:
        UnknownFrame: a file of no frame.  BadInput: two files of one frame.
    """
    find = frame_finder(shard)
    found: dict[int, Path] = {}
    for path in sorted(folder.glob(f"*{suffix}")):
        try:
            index = find(path.stem, str(path))
        except UnknownFrame:
            if path.name in beside:
                continue
            raise
        if index in found:
            raise BadInput(f"{path} and {found[index].name}: both are frame {index}, needed one file a frame")
        found[index] = path
    return sorted(found.items())


def _stems(shard: Shard) -> list[str]:
    if not Path(shard.uri).is_dir():
        raise BadInput(f"{shard.shard_id}: {shard.uri} is no folder, needed its pictures for their names")
    stems = [path.stem for path in pictures_in(shard.uri)[shard.first_frame :][: shard.num_frames]]
    repeated = next((stem for stem in stems if stems.count(stem) > 1), None) if len(set(stems)) != len(stems) else None
    if repeated is not None:
        raise BadInput(f"{shard.uri}: two pictures named {repeated!r}, needed names that differ in more than the suffix")
    return stems
