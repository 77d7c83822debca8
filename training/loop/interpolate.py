"""Interpolation between labelled keyframes, as annotation tools do it: the cheap neighbour to beat."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from training.data.annotations import Annotation, FrameLabels
from training.errors import BadInput
from training.loop.mask_motion import MaskMotion

__all__ = ["interpolate"]

Box = tuple[float, float, float, float]
Points = tuple[float, ...]
Motion = Callable[[float], Annotation | None]  # share of the way to the next keyframe, 0..1 -> the object there, if it is

FARTHEST = 3.0  # an object moved at most this many of its own sizes between keyframes, else it is another one
HALFWAY = 0.5


def interpolate(
    keyframes: Sequence[FrameLabels], frame_indices: Sequence[int], frame_hw: tuple[int, int] | None = None
) -> list[FrameLabels]:
    """What each frame shows if everything moved evenly between the keyframes around it.

    Objects are paired by track_id where both have one, else by class and least total distance. Boxes and keypoints move
    in straight lines, masks change their shape on the way (see MaskMotion). A point is as visible as in the nearer
    keyframe; one that only one of them has stays there. An object that is in only one of the two keyframes stands still
    until halfway, where whoever does not know when it left or came is wrong on the fewest frames. A class of the whole
    frame holds until the next keyframe, as attributes of a track do in CVAT. Before the first and after the last keyframe
    nothing changes; a keyframe comes back as it is.

    Args:
        keyframes: at least one, of one shard.
        frame_hw: height and width of a frame; needed where there are masks.
    Raises:
        BadInput: masks, and no frame_hw.
    """
    known = sorted(keyframes, key=lambda frame: frame.frame_index)
    found = {frame.frame_index: frame for frame in known}
    places = list(found)
    gaps: dict[int, list[int]] = defaultdict(list)
    for index in set(frame_indices) - found.keys():
        gaps[bisect_right(places, index)].append(index)
    for after, indices in gaps.items():
        first, last = known[max(after - 1, 0)], known[min(after, len(known) - 1)]
        motions = [_standing(a) for a in first.annotations] if first is last else _motions(first, last, frame_hw)
        for index in indices:
            share = (index - first.frame_index) / max(last.frame_index - first.frame_index, 1)
            shown = tuple(annotation for motion in motions if (annotation := motion(share)) is not None)
            found[index] = FrameLabels(shard_id=first.shard_id, frame_index=index, annotations=shown)
    return [found[index] for index in frame_indices]


def _motions(first: FrameLabels, last: FrameLabels, frame_hw: tuple[int, int] | None) -> list[Motion]:
    before, after = ([a for a in frame.annotations if a.level == "object"] for frame in (first, last))
    pairs = _pairs(before, after)
    paired_before, paired_after = {a for a, _ in pairs}, {b for _, b in pairs}
    holding = [_standing(a) for a in first.annotations if a.level == "image"]
    moving = [_moving(before[a], after[b], frame_hw) for a, b in pairs]
    leaving = [_standing(a, until=HALFWAY) for i, a in enumerate(before) if i not in paired_before]
    coming = [_standing(b, since=HALFWAY) for i, b in enumerate(after) if i not in paired_after]
    return [*holding, *moving, *leaving, *coming]


def _standing(annotation: Annotation, *, since: float = -math.inf, until: float = math.inf) -> Motion:
    there = _interpolated(annotation)
    return lambda share: there if since <= share < until else None


def _moving(a: Annotation, b: Annotation, frame_hw: tuple[int, int] | None) -> Motion:
    if a.rle_counts is None or b.rle_counts is None:
        return lambda share: _interpolated(a, box=_blend_boxes(a, b, share), points=_blend_points(a, b, share))
    if frame_hw is None:
        raise BadInput(f"{a.class_name}: masks to interpolate, needed the height and width of a frame")
    mask = MaskMotion(a.rle_counts, b.rle_counts, frame_hw)

    def motion(share: float) -> Annotation:
        counts, box = mask.at(share)
        return _interpolated(a, box=box, points=_blend_points(a, b, share), counts=counts)

    return motion


def _interpolated(
    annotation: Annotation, *, box: Box | None = None, points: Points | None = None, counts: str | None = None
) -> Annotation:
    return replace(
        annotation,
        bbox_xyxy=box or annotation.bbox_xyxy,
        keypoints_xyv=points or annotation.keypoints_xyv,
        rle_counts=counts or annotation.rle_counts,
        provenance="interpolation",
        author=None,
        generation=None,
        score=None,
        confirmed_at=None,
    )


def _blend_boxes(a: Annotation, b: Annotation, share: float) -> Box:
    assert a.bbox_xyxy is not None
    assert b.bbox_xyxy is not None
    x1, y1, x2, y2 = ((1 - share) * p + share * q for p, q in zip(a.bbox_xyxy, b.bbox_xyxy, strict=True))
    return x1, y1, x2, y2


def _blend_points(a: Annotation, b: Annotation, share: float) -> Points | None:
    if a.keypoints_xyv is None or b.keypoints_xyv is None:
        return a.keypoints_xyv or b.keypoints_xyv
    points: list[float] = []
    both = (np.reshape(keypoints, (-1, 3)).tolist() for keypoints in (a.keypoints_xyv, b.keypoints_xyv))
    for (ax, ay, av), (bx, by, bv) in zip(*both, strict=True):
        part = share if av and bv else float(not av)
        points += [(1 - part) * ax + part * bx, (1 - part) * ay + part * by, av if part < HALFWAY else bv]
    return tuple(points)


def _pairs(first: Sequence[Annotation], last: Sequence[Annotation]) -> list[tuple[int, int]]:
    """The pairing of least total distance (Hungarian method), distances in object sizes."""
    if not first or not last:
        return []
    cost = np.array([[_distance(a, b) for b in last] for a in first])
    rows, columns = linear_sum_assignment(np.minimum(cost, 1e6))
    return [(int(a), int(b)) for a, b in zip(rows, columns, strict=True) if cost[a, b] <= FARTHEST]


def _distance(a: Annotation, b: Annotation) -> float:
    if a.class_name != b.class_name or a.bbox_xyxy is None or b.bbox_xyxy is None:
        return float("inf")
    if a.track_id is not None and b.track_id is not None:
        return 0.0 if a.track_id == b.track_id else float("inf")
    (ax, ay, a_size), (bx, by, b_size) = (_centre_and_size(box) for box in (a.bbox_xyxy, b.bbox_xyxy))
    return float(np.hypot(ax - bx, ay - by)) / max(a_size, b_size)


def _centre_and_size(box: Box) -> tuple[float, float, float]:
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, float(np.sqrt((x2 - x1) * (y2 - y1)))
