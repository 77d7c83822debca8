"""What labels need of a format, found out before anything is written."""

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace

import numpy as np

from training.data.annotations import Annotation, FrameLabels
from training.data.formats.records import Part
from training.data.rle import decode, mask_box
from training.data.shards import Shard
from training.errors import BadInput

__all__ = ["FEATURES", "LEAVABLE", "Without", "check_holds"]

# What labels can have, in the words of the messages.
FEATURES = (
    "boxes",
    "masks",
    "masks that overlap",
    "boxes beside masks",
    "keypoints",
    "keypoints without a box",
    "classes of whole frames",
    "tracks",
    "scores",
    "ambiguous",
    "scenes",
    "control characters in names",
    "provenance",
)
LEAVABLE = ("tracks", "scores", "ambiguous")
_BOX_PX = 1e-6


def check_holds(name: str, holds: Set[str], part: Part) -> None:
    """Go through the labels of one shard.

    Raises:
        BadInput: the format cannot hold something; names the format, what it is, and the first frame that has it.
    """
    shard, ontology = part.shard, part.ontology
    if shard.scene is not None and "scenes" not in holds:
        _refuse(name, "scenes", shard.shard_id, holds)
    if "control characters in names" not in holds and _control((*ontology.classes, *ontology.keypoints)):
        _refuse(name, "control characters in names", ontology.name, holds)
    for frame in part.labels:
        for what in _needs(frame, shard, holds):
            if what not in holds:
                _refuse(name, what, f"{shard.shard_id} frame {frame.frame_index}", holds)


class Without:
    """Labels without what the user wants to leave out (of LEAVABLE), frame by frame."""

    def __init__(self, labels: Iterable[FrameLabels], left_out: Set[str]) -> None:
        self._labels, self._left_out = labels, left_out

    def __iter__(self) -> Iterator[FrameLabels]:
        return (replace(frame, annotations=tuple(map(self._reduced, frame.annotations))) for frame in self._labels)

    def _reduced(self, annotation: Annotation) -> Annotation:
        return replace(
            annotation,
            track_id=None if "tracks" in self._left_out else annotation.track_id,
            score=None if "scores" in self._left_out else annotation.score,
            ambiguous=annotation.ambiguous and "ambiguous" not in self._left_out,
        )


def _needs(frame: FrameLabels, shard: Shard, holds: Set[str]) -> Iterator[str]:
    for annotation in frame.annotations:
        yield from _needs_of(annotation, shard)
    masks = [annotation.rle_counts for annotation in frame.annotations if annotation.rle_counts is not None]
    if "masks that overlap" not in holds and len(masks) > 1 and shard.scene is None:
        covered_HW = np.zeros((shard.height, shard.width), np.bool_)
        for mask_HW in (decode(counts, shard.height, shard.width) for counts in masks):
            if (covered_HW & mask_HW).any():
                yield "masks that overlap"
                return
            covered_HW |= mask_HW


def _needs_of(annotation: Annotation, shard: Shard) -> Iterator[str]:
    a = annotation
    if a.level == "image":
        yield "classes of whole frames"
    elif a.keypoints_xyv is not None:
        yield "keypoints"
        if a.bbox_xyxy is None:
            yield "keypoints without a box"
    elif a.rle_counts is None:
        yield "boxes"
    if a.rle_counts is not None:
        yield "masks"
        if a.bbox_xyxy is not None and shard.scene is None and not _same_box(a.bbox_xyxy, a.rle_counts, shard):
            yield "boxes beside masks"
    if a.track_id is not None:
        yield "tracks"
        if _control((a.track_id,)):
            yield "control characters in names"
    if a.score is not None:
        yield "scores"
    if a.ambiguous:
        yield "ambiguous"


def _same_box(box: tuple[float, float, float, float], counts: str, shard: Shard) -> bool:
    around = mask_box(counts, shard.height, shard.width)
    return around is not None and all(abs(a - b) <= _BOX_PX for a, b in zip(box, around))


def _control(names: tuple[str, ...]) -> bool:
    return any(not character.isprintable() for name in names for character in name)


def _refuse(name: str, what: str, where: str, holds: Set[str]) -> None:
    held = ", ".join(feature for feature in FEATURES if feature in holds)
    hint = f"; --leave-out {what} goes without" if what in LEAVABLE else ""
    raise BadInput(f"{name}: cannot hold {what} ({where}), it holds {held}{hint}")
