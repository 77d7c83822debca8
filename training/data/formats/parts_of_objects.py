"""Objects that a file says in several parts: which rows are about one object, and the one mask of its polygons and masks."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from training.data.formats.records import Box, Found
from training.data.rle import decode, encode, mask_box, polygons_to_rle
from training.data.shards import Window
from training.errors import BadAnnotation

__all__ = ["alike", "one_mask", "polygon_mask", "same_object", "the_box"]

Row = TypeVar("Row")


def alike(rows: Iterable[Row], key: Callable[[Row], Hashable]) -> list[list[Row]]:
    """The rows of each key together, in the order in which the keys come."""
    found: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return list(found.values())


def same_object(group: Iterable[Row], label: Callable[[Row], Hashable], track: Callable[[Row], Hashable]) -> Iterator[list[Row]]:
    """The rows of one group, split by label, and by track where they name more than one (a group of animals, not of parts)."""
    for rows in alike(group, label):
        tracks = {track(row) for row in rows} - {None}
        yield from alike(rows, track) if len(tracks) > 1 else [rows]


def the_box(boxes: Sequence[Row], where: str) -> Row | None:
    """The one row that is the box of an object with masks, if there is one. Raises BadAnnotation for several."""
    if len(boxes) > 1:
        raise BadAnnotation(f"{where}: {len(boxes)} boxes of one label in one group with masks, needed one at most")
    return boxes[0] if boxes else None


def polygon_mask(flat: Sequence[float], found: Found, where: str) -> str:
    """Runs of the pixels inside one polygon (x, y, … in pixels of the picture); they may be none.

    Raises:
        BadAnnotation: fewer than three corners, NaN, or it leaves its picture.
    """
    shard = found.source.shard
    found.box(min(flat[0::2]), min(flat[1::2]), max(flat[0::2]), max(flat[1::2]), where)
    try:
        return polygons_to_rle([flat], Window(column=0, row=0, width=shard.width, height=shard.height))
    except BadAnnotation as error:
        raise BadAnnotation(f"{where}: {error}") from error


def one_mask(parts: Sequence[str], kind: str, found: Found, where: str) -> tuple[str, Box]:
    """The union of masks (runs over the whole picture) and the box around it.

    Raises:
        BadAnnotation: no pixel is in it.
    """
    shard = found.source.shard
    counts = parts[0]
    if len(parts) > 1:
        mask_HW = decode(counts, shard.height, shard.width)
        for part in parts[1:]:
            mask_HW |= decode(part, shard.height, shard.width)
        counts = encode(mask_HW)
    box = mask_box(counts, shard.height, shard.width)
    if box is None:
        raise BadAnnotation(f"{where}: a {kind} without area, needed at least one pixel")
    return counts, box
