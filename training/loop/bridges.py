"""Where an object is said to be although the model did not see it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.loop.tracks import Track, place

__all__ = ["AT_THE_ENDS", "BRIDGED", "shown"]

Array = NDArray[np.float64]

BRIDGED = 10  # frames for which an object is there although it is not seen
AT_THE_ENDS = 5  # and at the beginning and end of a video, if the keyframe next to it shows the object
MOSTLY = 0.5  # one that is seen on fewer of the other frames is there for longer, if people saw it before and after
RIGHT_IOU = 0.5  # of a box found and where a straight line between two others says that it is


def shown(track: Track, keyframes: Sequence[int], num_frames: int) -> list[int]:
    """Frames other than people's where the track is seen, or bridged, in order.

    An object that people have confirmed is bridged in gaps of at most BRIDGED frames, and on AT_THE_ENDS frames between the
    first or last box and that end of the video, if the keyframe there shows it, where over as many frames it mostly goes
    straight; and in any gap between two keyframes that both show it, if the model misses it on most other frames too.

    Args:
        keyframes: people's frames, in order.
    """
    seen = list(track.seen)
    there = [index for index in seen if index not in track.human]
    for before, after in pairwise(seen):
        short = after - before - 1 <= BRIDGED and track.human and _goes_straight(track, after - before)
        if short or _mostly_missed(track, before, after, keyframes):
            there += range(before + 1, after)
    for end, keyframe in ((range(seen[0]), keyframes[:1]), (range(seen[-1] + 1, num_frames), keyframes[-1:])):
        confirmed = bool(keyframe) and track.human.issuperset(keyframe)
        if confirmed and len(end) <= AT_THE_ENDS and _goes_straight(track, 2 * len(end)):
            there += end
    return sorted(there)


def _mostly_missed(track: Track, before: int, after: int, keyframes: Sequence[int]) -> bool:
    """Whether the keyframes around a gap both show the object, and the model misses it elsewhere more often than not."""
    at = int(np.searchsorted(keyframes, before, side="right"))
    if not 0 < at < len(keyframes) or not {keyframes[at - 1], keyframes[at]} <= track.human:
        return False
    elsewhere = max(track.seen) - min(track.seen) + 1 - len(track.human) - (after - before - 1)
    return len(track.seen) - len(track.human) < MOSTLY * max(elsewhere, 1)


def _goes_straight(track: Track, num_frames: int) -> bool:
    """Whether the track is mostly where it should be halfway between two of its boxes so many frames apart."""
    half = (num_frames + 1) // 2
    halfway = [index for index in track.seen if index - half in track.seen and index + half in track.seen]
    if not halfway:
        return True
    before, seen, after = (np.array([place(track.seen[index + shift]) for index in halfway]) for shift in (-half, 0, half))
    return bool(np.median(_iou(seen, (before + after) / 2)) >= RIGHT_IOU)


def _iou(a_M4: Array, b_M4: Array) -> Array:
    """(M,) of boxes given as places."""
    halves = [np.exp(x_M4[:, 2:]) / 2 for x_M4 in (a_M4, b_M4)]
    low, high = ([x_M4[:, :2] + side * half for x_M4, half in zip((a_M4, b_M4), halves, strict=True)] for side in (-1, 1))
    shared = np.maximum(np.minimum(*high) - np.maximum(*low), 0).prod(axis=1)
    return np.asarray(shared / (sum((2 * half).prod(axis=1) for half in halves) - shared))
