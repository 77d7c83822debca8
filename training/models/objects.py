"""Labelled objects of many frames as arrays, and where they are in views of those frames.

F frames, O objects with boxes, P named points of each, V views.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.annotations import Annotation, FrameLabels
from training.models.placements import Placements
from training.models.point_boxes import MIN_HULL
from training.models.sides import mirrored_order

__all__ = ["Objects", "Seen"]

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Objects in views, those of one view after the other.

    row_O: which of the Objects it is. view_O: which view it is in.
    box_O4, points_OP3: xyxy, and x, y, v; input pixels.
    """

    row_O: NDArray[np.int64]
    view_O: NDArray[np.int64]
    box_O4: Numbers
    points_OP3: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """Frame pixels; v of a point that a person did not place is 0.

    count_F: objects of each frame, in the order of the frames.
    mirrored_OP3: the points by the names that they have in a mirrored view.
    """

    count_F: NDArray[np.int64]
    box_O4: Numbers
    class_O: NDArray[np.int64]
    ambiguous_O: NDArray[np.bool_]
    drawn_O: NDArray[np.bool_]
    points_OP3: Numbers
    mirrored_OP3: Numbers

    @classmethod
    def of(cls, labels: Sequence[FrameLabels], classes: Mapping[str, int], keypoints: Sequence[str] = ()) -> "Objects":
        """Annotations without a box are left out. classes: name -> number."""
        boxed = [[annotation for annotation in frame.annotations if annotation.bbox_xyxy is not None] for frame in labels]
        every = [annotation for annotations in boxed for annotation in annotations]
        points = np.array([_points(annotation, len(keypoints)) for annotation in every], np.float64)
        points = points.reshape(len(every), len(keypoints), 3)
        return cls(
            count_F=np.array([len(annotations) for annotations in boxed], np.int64),
            box_O4=np.array([annotation.bbox_xyxy for annotation in every], np.float64).reshape(-1, 4),
            class_O=np.array([classes[annotation.class_name] for annotation in every], np.int64),
            ambiguous_O=np.array([annotation.ambiguous for annotation in every], np.bool_),
            drawn_O=np.array([annotation.drawn for annotation in every], np.bool_),
            points_OP3=points,
            mirrored_OP3=points[:, mirrored_order(keypoints)],
        )

    def joined(self, others: Sequence["Objects"]) -> "Objects":
        """The frames of all, one after the other."""
        every: dict[str, Any] = {
            one.name: np.concatenate([getattr(objects, one.name) for objects in (self, *others)]) for one in fields(self)
        }
        return Objects(**every)

    def seen(self, frame_V: NDArray[np.int64], places: Placements) -> Seen:
        """Where the objects of each view's frame are in it, however far outside."""
        count_V = self.count_F[frame_V]
        view_O = np.repeat(np.arange(len(frame_V)), count_V)
        first_V = np.cumsum(self.count_F)[frame_V] - count_V
        row_O = np.arange(len(view_O)) + np.repeat(first_V - (np.cumsum(count_V) - count_V), count_V)
        mirrored_O11 = places.mirror_V[view_O, None, None]
        points_OP3 = np.where(mirrored_O11, self.mirrored_OP3[row_O], self.points_OP3[row_O])
        at_OP2 = places.points_to_input(points_OP3[..., :2], view_O)
        box_O4 = self._boxes(row_O, view_O, at_OP2, points_OP3[..., 2] > 0, places)
        return Seen(row_O=row_O, view_O=view_O, box_O4=box_O4, points_OP3=np.concatenate([at_OP2, points_OP3[..., 2:]], axis=2))

    def _boxes(
        self,
        row_O: NDArray[np.int64],
        view_O: NDArray[np.int64],
        at_OP2: Numbers,
        placed_OP: NDArray[np.bool_],
        places: Placements,
    ) -> Numbers:
        """In a turned view, boxes around the turned points, as far around them on each side as they were on average."""
        box_O4 = self.box_O4[row_O]
        in_view_O4 = places.boxes_to_input(box_O4, view_O)
        hull_O = (placed_OP.sum(axis=1) >= MIN_HULL) & (places.turn_V[view_O] != 0)
        if not hull_O.any():
            return in_view_O4
        low, high = _hull(self.points_OP3[row_O[hull_O], :, :2], self.points_OP3[row_O[hull_O], :, 2] > 0)
        margin = np.concatenate([low - box_O4[hull_O, :2], box_O4[hull_O, 2:] - high], axis=1).mean(axis=1, keepdims=True)
        low, high = _hull(at_OP2[hull_O], placed_OP[hull_O])
        reach = margin * places.scale_V2[view_O[hull_O]]
        in_view_O4[hull_O] = np.concatenate([low - reach, high + reach], axis=1)
        return in_view_O4


def _points(annotation: Annotation, count: int) -> Sequence[float]:
    return annotation.keypoints_xyv or (0.0,) * (3 * count)


def _hull(points_OP2: Numbers, placed_OP: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """Lowest and highest x and y of the placed points: (O, 2) each."""
    placed_OP1 = placed_OP[..., None]
    low: Numbers = np.where(placed_OP1, points_OP2, np.inf).min(axis=1)
    high: Numbers = np.where(placed_OP1, points_OP2, -np.inf).max(axis=1)
    return low, high
