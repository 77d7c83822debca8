"""Micro-model and interpolation together: the model's boxes as tracks, pinned to people's boxes, smoothed and bridged."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.loop.bridges import shown
from training.loop.smoothing import smooth
from training.loop.tracks import Track, link, place
from training.models.matching import sureness

__all__ = ["can_combine", "hybrid"]

Array = NDArray[np.float64]
Box = tuple[float, float, float, float]

SHORTEST = 8  # boxes of a track that no person has confirmed, below which it stays as the model says
AROUND = 7  # frames whose median says where a box should be
OUTLYING = 5.0  # robust standard deviations from there
OUTLYING_AT_LEAST = 0.5  # and object sizes, which is where a box finds nothing: an IoU of a third
RARE = 0.1  # of a track's boxes at most are outliers; if more are that far off, that is how the object moves
HALF_SURE = 10  # frames from the next seen box at which the score of a bridged one is half of that box's


def can_combine(shard: Shard, ontology: Ontology) -> bool:
    """Whether there is motion to be smooth and boxes to be moved."""
    return shard.kind == "video" and ontology.task in ("detection", "keypoints")


def hybrid(
    shard: Shard, ontology: Ontology, labels: Sequence[FrameLabels], predicted: Sequence[FrameLabels]
) -> list[FrameLabels]:
    """What people said, and on all other frames the model's boxes and keypoints as smooth as the motion is.

    Boxes are linked over time (see `link`) and each track is smoothed (see `smooth`), in units of the object's size. Where
    an object that people have confirmed was not seen, the smoothed box is put in with the provenance 'interpolation': in gaps
    that are short enough or that people's frames close (see `shown`). Masks, classes of whole frames, tiles of
    scenes and folders of pictures stay as the model says.

    Args:
        labels: people's frames; they come back as they are.
        predicted: what one generation says; its labels of people's frames are not used.
    """
    frames = {frame.frame_index: frame for frame in (*predicted, *labels)}
    if not can_combine(shard, ontology):
        return [frames[index] for index in sorted(frames)]
    keyframes = sorted({frame.frame_index for frame in labels})
    tracks = link([frames[index] for index in sorted(frames)], set(keyframes))
    moved: dict[int, dict[int, Annotation]] = defaultdict(dict)  # frame index, id of the model's annotation
    added: dict[int, list[Annotation]] = defaultdict(list)
    for track in tracks:
        if track.human or len(track.seen) >= SHORTEST:
            for index, annotation in _smoothed(track, shown(track, keyframes, shard.num_frames), (shard.width, shard.height)):
                if index in track.seen:
                    moved[index][id(track.seen[index])] = annotation
                elif index in frames:
                    added[index].append(annotation)
    return [_merged(frames[index], moved[index], added[index]) for index in sorted(frames)]


def _merged(frame: FrameLabels, moved: dict[int, Annotation], added: list[Annotation]) -> FrameLabels:
    annotations = (*(moved.get(id(annotation), annotation) for annotation in frame.annotations), *added)
    return replace(frame, annotations=annotations)


def _smoothed(track: Track, shown: Sequence[int], frame_wh: tuple[int, int]) -> Iterator[tuple[int, Annotation]]:
    """(frame index, annotation) of the frames on which the track is shown."""
    seen = np.array(list(track.seen))
    first, last = min([*shown, *track.seen]), max([*shown, *track.seen])
    places = np.array([place(annotation) for annotation in track.seen.values()])
    size = float(np.exp(np.median(places[:, 2:])))
    unit = np.array([size, size, 1, 1])
    path = _path(seen - first, places / unit, np.isin(seen, track.exact), last - first + 1) * unit
    points = _point_paths(track, size)
    for index in shown:
        nearest = int(seen[np.abs(seen - index).argmin()])
        box = _box(path[index - first], frame_wh)
        if box is not None:
            said = _said(track.seen[nearest], abs(nearest - index))
            yield index, replace(said, bbox_xyxy=box, keypoints_xyv=_points_at(points, index, said), track_id=track.track_id)


def _said(nearest: Annotation, away: int) -> Annotation:
    """What the model said, or what is said of a frame on which nothing was seen, `away` frames from the next."""
    if not away:
        return nearest
    score = sureness(nearest) * HALF_SURE / (HALF_SURE + away)
    return replace(nearest, provenance="interpolation", score=score, author=None, confirmed_at=None)


def _box(place_4: Array, frame_wh: tuple[int, int]) -> Box | None:
    centre, half = place_4[:2], np.exp(place_4[2:]) / 2
    (x1, y1), (x2, y2) = ((centre + side * half).clip(0, frame_wh).tolist() for side in (-1, 1))
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def _point_paths(track: Track, size: float) -> list[tuple[int, Array]]:
    """For each keypoint the first frame where it is placed, and its x, y on every frame from there to the last."""
    placed: dict[int, dict[int, tuple[float, float]]] = defaultdict(dict)
    for index, annotation in track.seen.items():
        for point, (x, y, v) in enumerate(np.reshape(annotation.keypoints_xyv or (), (-1, 3)).tolist()):
            if v:
                placed[point][index] = (x, y)
    found = []
    for point in range(max(placed, default=-1) + 1):
        seen = np.array(list(placed[point]), np.int64)
        values = np.array(list(placed[point].values())).reshape(-1, 2)
        exact = np.isin(seen, track.exact)
        start, stop = (int(seen[0]), int(seen[-1]) + 1) if len(seen) else (0, 0)
        found.append((start, _path(seen - start, values / size, exact, stop - start) * size if len(seen) else values))
    return found


def _points_at(points: Sequence[tuple[int, Array]], index: int, said: Annotation) -> tuple[float, ...] | None:
    if said.keypoints_xyv is None:
        return None
    moved = np.reshape(said.keypoints_xyv, (-1, 3)).copy()
    for point, (first, path) in enumerate(points):
        if moved[point, 2] and 0 <= index - first < len(path):
            moved[point, :2] = path[index - first]
    return tuple(moved.ravel().tolist())


def _path(seen_M: NDArray[np.int64], values_MC: Array, exact_M: NDArray[np.bool_], num_frames: int) -> Array:
    """(num_frames, C) smoothed values of all frames; outliers do not count."""
    outlying = ~exact_M & _outlying(values_MC)
    inlying = ~outlying if outlying.mean() <= RARE else np.ones_like(outlying)
    values_NC = np.full((num_frames, values_MC.shape[1]), np.nan)
    exact_N = np.zeros(num_frames, np.bool_)
    values_NC[seen_M[inlying]] = values_MC[inlying]
    exact_N[seen_M[exact_M]] = True
    return smooth(values_NC, exact_N)


def _outlying(values_MC: Array) -> NDArray[np.bool_]:
    """(M,) rows far from the median of the rows around them, while those did not move as far."""
    padded = np.pad(values_MC, ((AROUND, AROUND), (0, 0)), mode="reflect", reflect_type="odd")
    away_MC = np.abs(values_MC - median_filter(padded, (AROUND, 1))[AROUND:-AROUND])
    spread_C = 1.4826 * np.median(away_MC, axis=0)
    moved_MC = np.abs(padded[AROUND + 1 : len(padded) - AROUND + 1] - padded[AROUND - 1 : -AROUND - 1])
    return np.asarray((away_MC > np.maximum(np.maximum(OUTLYING * spread_C, OUTLYING_AT_LEAST), moved_MC)).any(axis=1))
