"""Linear interpolation between labelled keyframes, as annotation tools do it: the cheap neighbour to beat."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from training.data.annotations import Annotation, FrameLabels

__all__ = ["interpolate"]

Points = tuple[float, ...]

FARTHEST = 3.0  # an object moved at most this many of its own sizes between keyframes, else it is another one


def interpolate(keyframes: Sequence[FrameLabels], frame_indices: Sequence[int]) -> list[FrameLabels]:
    """What each frame shows if every object moved in a straight line between the keyframes around it.

    Objects are paired by track_id where both have one, else by class and distance. One that is in only one of the two
    keyframes stands still until halfway. Before the first and after the last keyframe nothing moves.

    keyframes: at least one, of one shard.
    """
    known = sorted(keyframes, key=lambda frame: frame.frame_index)
    return [_at(known, index) for index in frame_indices]


def _at(known: Sequence[FrameLabels], index: int) -> FrameLabels:
    before = [frame for frame in known if frame.frame_index <= index]
    after = [frame for frame in known if frame.frame_index >= index]
    first, last = (before or after[:1])[-1], (after or before[-1:])[0]
    gap = last.frame_index - first.frame_index
    share = (index - first.frame_index) / gap if gap > 0 else 0.0
    annotations = _between(first.annotations, last.annotations, share)
    return FrameLabels(shard_id=first.shard_id, frame_index=index, annotations=tuple(annotations))


def _between(first: Sequence[Annotation], last: Sequence[Annotation], share: float) -> list[Annotation]:
    pairs = _pairs(first, last)
    paired_first, paired_last = {a for a, _ in pairs}, {b for _, b in pairs}
    moved = [_blend(first[a], last[b], share) for a, b in pairs]
    alone = [a for i, a in enumerate(first) if i not in paired_first] if share < 0.5 else []
    alone += [b for i, b in enumerate(last) if i not in paired_last] if share >= 0.5 else []
    return moved + [replace(annotation, provenance="interpolation", score=None) for annotation in alone]


def _blend(a: Annotation, b: Annotation, share: float) -> Annotation:
    assert a.bbox_xyxy is not None
    assert b.bbox_xyxy is not None
    x1, y1, x2, y2 = ((1 - share) * p + share * q for p, q in zip(a.bbox_xyxy, b.bbox_xyxy, strict=True))
    return Annotation(
        class_name=a.class_name,
        bbox_xyxy=(x1, y1, x2, y2),
        keypoints_xyv=_blend_points(a.keypoints_xyv, b.keypoints_xyv, share),
        track_id=a.track_id,
        provenance="interpolation",
    )


def _blend_points(a: Points | None, b: Points | None, share: float) -> Points | None:
    """Points that both keyframes have move in a straight line; one that only one of them has stays there."""
    if a is None or b is None:
        return a if b is None else b
    points: list[float] = []
    for (ax, ay, av), (bx, by, bv) in zip(zip(*[iter(a)] * 3, strict=True), zip(*[iter(b)] * 3, strict=True), strict=True):
        part = share if av and bv else float(not av)
        points += [(1 - part) * ax + part * bx, (1 - part) * ay + part * by, min(av, bv) or max(av, bv)]
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


def _centre_and_size(box: tuple[float, float, float, float]) -> tuple[float, float, float]:
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, float(np.sqrt((x2 - x1) * (y2 - y1)))
