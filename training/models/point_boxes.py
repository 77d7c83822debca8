"""Boxes that people draw around an object's points: what is labelled, and around the points that are found."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.data.annotations import Annotation, FrameLabels
from training.models.geometry import Placement

__all__ = ["MIN_HULL", "around_points", "common_margins", "labelled_points"]

MIN_HULL = 3  # points that span a box
SAME_MARGIN = 0.05  # largest standard deviation, in sides, of the distances from points to their box


def labelled_points(truth: Annotation) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(L, 2) the points a person placed, and which of all P they are."""
    points = np.array(truth.keypoints_xyv or (), np.float64).reshape(-1, 3)
    placed = points[:, 2] > 0
    return points[placed, :2], placed


def common_margins(labels: Sequence[FrameLabels]) -> list[float] | None:
    """Left, top, right and bottom distance from the outermost points to the box, in longer sides of what points span."""
    found = []
    for annotation in (annotation for frame in labels for annotation in frame.annotations):
        points, _ = labelled_points(annotation)
        if annotation.bbox_xyxy is not None and len(points) >= MIN_HULL:
            low, high = points.min(axis=0), points.max(axis=0)
            box = np.array(annotation.bbox_xyxy)
            found.append(np.concatenate([low - box[:2], box[2:] - high]) / max(float((high - low).max()), 1.0))
    if not found or float(np.std(found, axis=0).max()) > SAME_MARGIN:
        return None
    return [float(margin) for margin in np.mean(found, axis=0)]


def around_points(found: Annotation, margins: Sequence[float] | None, place: Placement) -> Annotation:
    """The object with the box that its visible points tell, if they tell one."""
    visible = np.array(found.keypoints_xyv, np.float64).reshape(-1, 3)
    visible = visible[visible[:, 2] == 2, :2]
    if margins is None or len(visible) < MIN_HULL:
        return found
    low, high = visible.min(axis=0), visible.max(axis=0)
    reach = np.array(margins) * float((high - low).max())
    box = np.concatenate([low - reach[:2], high + reach[2:]])
    if place.bounded:
        box = box.clip(0, [place.frame_width, place.frame_height] * 2)
    x1, y1, x2, y2 = (float(value) for value in box)
    return replace(found, bbox_xyxy=(x1, y1, x2, y2)) if x2 > x1 and y2 > y1 else found
