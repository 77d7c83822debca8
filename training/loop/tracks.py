"""Boxes of one object over time: machine boxes and people's, linked from frame to frame."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from training.data.annotations import Annotation, FrameLabels

__all__ = ["Track", "link", "place"]

Array = NDArray[np.float64]

REACH = 0.7  # an object is at most this many of its sizes from where it is expected,
REACH_A_FRAME = 0.1  # and so much more for each frame that it was not seen,
FARTHEST = 3.0  # up to this
REMEMBERED = 5  # boxes that tell the velocity, and frames for which it is believed
IMPOSSIBLE = 1e6


@dataclass(slots=True)
class Track:
    """One object: its annotation on every frame where it was seen, in order; `human` are those of people's frames."""

    class_name: str
    seen: dict[int, Annotation] = field(default_factory=dict)
    human: set[int] = field(default_factory=set)
    track_id: str | None = None

    def add(self, frame_index: int, annotation: Annotation, *, human: bool) -> None:
        self.seen[frame_index] = annotation
        if human:
            self.human.add(frame_index)
            self.track_id = annotation.track_id or self.track_id

    @property
    def exact(self) -> list[int]:
        """Frames on which a person drew it; what people let stand is there, but where the machine said."""
        return [index for index in self.human if self.seen[index].drawn]

    def expected(self, frame_index: int, *, doubted: int = 0) -> Array:
        """Centre x, y and log width, height where the object goes on as it did before its last `doubted` boxes."""
        recent = list(self.seen)[-REMEMBERED - doubted :]
        recent = recent[:-doubted] if 0 < doubted < len(recent) else recent
        first, last = (place(self.seen[index]) for index in (recent[0], recent[-1]))
        velocity = (last - first) / max(recent[-1] - recent[0], 1)
        velocity[2:] = 0
        return np.asarray(last + velocity * min(frame_index - recent[-1], REMEMBERED))


def link(frames: Sequence[FrameLabels], keyframes: Collection[int]) -> list[Track]:
    """Every box without a mask in exactly one track; boxes of one track are of one class and on different frames.

    Frame by frame, the pairing of least total distance (Hungarian method) between where tracks are expected and the boxes;
    people's track ids decide where they exist. A box of a person that nothing has come near is paired, if it can be, with
    the object that stood nearest on the keyframe before. A track ends at a keyframe without it.

    Args:
        frames: in order, of one shard.
        keyframes: frames of which people said everything.
    """
    ended: list[Track] = []
    open_tracks: dict[str, list[Track]] = defaultdict(list)
    previous: int | None = None
    for frame in frames:
        by_class: dict[str, list[Annotation]] = defaultdict(list)
        for annotation in frame.annotations:
            if annotation.bbox_xyxy is not None and annotation.rle_counts is None and not annotation.ambiguous:
                by_class[annotation.class_name].append(annotation)
        human = frame.frame_index in keyframes
        for name in by_class.keys() | (open_tracks.keys() if human else set()):
            known = open_tracks[name]
            going_on = _extend(known, by_class[name], frame.frame_index, previous if human else None, human=human)
            if human:
                ended += [track for track in known if frame.frame_index not in track.seen]
            open_tracks[name] = [track for track in known if not human or frame.frame_index in track.seen] + going_on
        if human:
            previous = frame.frame_index
    return ended + [track for tracks in open_tracks.values() for track in tracks]


def place(annotation: Annotation) -> Array:
    """Centre x, y and log width, height of the box."""
    assert annotation.bbox_xyxy is not None
    x1, y1, x2, y2 = annotation.bbox_xyxy
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, np.log(x2 - x1), np.log(y2 - y1)])


def _extend(
    tracks: Sequence[Track], boxes: Sequence[Annotation], index: int, previous: int | None, *, human: bool
) -> list[Track]:
    """Give every box to a track; returns the tracks that begin here."""
    cost, doubting = (_costs([track.expected(index, doubted=doubted) for track in tracks], boxes) for doubted in (0, 1))
    cost = np.minimum(cost, doubting)  # the last box may have been a wrong one
    gaps = np.array([index - max(track.seen) for track in tracks])
    cost[cost > np.minimum(REACH + REACH_A_FRAME * (gaps - 1), FARTHEST).reshape(-1, 1)] = IMPOSSIBLE
    if human:
        _decide_by_ids(cost, tracks, boxes)
    pairs = _pairs(cost)
    if previous is not None:
        pairs += _pairs_of_keyframes(tracks, boxes, previous, pairs)
    for t, b in pairs:
        tracks[t].add(index, boxes[b], human=human)
    begun = []
    for b in sorted(set(range(len(boxes))) - {b for _, b in pairs}):
        track = Track(boxes[b].class_name)
        track.add(index, boxes[b], human=human)
        begun.append(track)
    return begun


def _pairs_of_keyframes(
    tracks: Sequence[Track], boxes: Sequence[Annotation], previous: int, taken: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Of what is left, what interpolation would pair."""
    free_t = [t for t, track in enumerate(tracks) if previous in track.human and t not in {t for t, _ in taken}]
    free_b = [b for b in range(len(boxes)) if b not in {b for _, b in taken}]
    left_t, left_b = [tracks[t] for t in free_t], [boxes[b] for b in free_b]
    cost = _costs([place(track.seen[previous]) for track in left_t], left_b, shape=0.0)
    cost[cost > FARTHEST] = IMPOSSIBLE
    _decide_by_ids(cost, left_t, left_b)
    return [(free_t[t], free_b[b]) for t, b in _pairs(cost)]


def _costs(expected: Sequence[Array], boxes: Sequence[Annotation], shape: float = 0.5) -> Array:
    """(tracks, boxes) distance of the centres in object sizes, and `shape` times that of the log sides."""
    a, b = (np.array(places).reshape(-1, 4) for places in (expected, [place(box) for box in boxes]))
    away = a[:, None] - b[None]
    size = np.exp(np.maximum(a[:, None, 2:].mean(-1), b[None, :, 2:].mean(-1)))
    return np.asarray(np.hypot(away[..., 0], away[..., 1]) / size + shape * np.abs(away[..., 2:]).mean(-1))


def _decide_by_ids(cost: Array, tracks: Sequence[Track], boxes: Sequence[Annotation]) -> None:
    for t, track in enumerate(tracks):
        for b, box in enumerate(boxes):
            if track.track_id is not None and box.track_id is not None:
                cost[t, b] = 0.0 if track.track_id == box.track_id else IMPOSSIBLE


def _pairs(cost: Array) -> list[tuple[int, int]]:
    rows, columns = linear_sum_assignment(cost)
    return [(int(t), int(b)) for t, b in zip(rows, columns, strict=True) if cost[t, b] < IMPOSSIBLE]
