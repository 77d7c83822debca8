"""What keypoints should say about views: heat at every visible point, and its offset around the centre of its object.

V views, P points, O objects in views, R points in views, h x w cells of the output grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.models.box_truth import BoxTruth
from training.models.placements import Placements
from training.models.planes import bumps, centres, highest, inside, known

__all__ = ["PointTruth"]

POINT_SPREAD = 1.2  # standard deviation of a point's heat, cells
AROUND_CENTRE = 0.2  # how far from it an object's offsets are taught, in box sides, and a cell at least


@dataclass(frozen=True, slots=True, kw_only=True)
class PointTruth:
    """Objects with P points each."""

    boxes: BoxTruth

    def joined(self, others: Sequence["PointTruth"]) -> "PointTruth":
        return PointTruth(boxes=self.boxes.joined([other.boxes for other in others]))

    def targets(self, frame_V: NDArray[np.int64], places: Placements, stride: int) -> dict[str, Tensor]:
        """Detection's; point (V, P, h, w) heat, point_weight (V, 1, h, w); offset (V, 2P, h, w) and its weight (V, P, h, w).

        Nothing is taught in ambiguous boxes: neither that their points are there, nor that they are not.
        """
        size = (places.height // stride, places.width // stride)
        seen = self.boxes.objects.seen(frame_V, places)
        sure_O = ~self.boxes.objects.ambiguous_O[seen.row_O]
        view_O, box_O4, points_OP3 = seen.view_O[sure_O], seen.box_O4[sure_O] / stride, seen.points_OP3[sure_O]
        points_OP3 = points_OP3 / (stride, stride, 1)
        return {
            **self.boxes.about(seen, places, stride),
            "point": self._heat(view_O, points_OP3, len(places), size),
            "point_weight": self._weight(seen.view_O[~sure_O], seen.box_O4[~sure_O] / stride, places, size),
            **self._offsets(view_O, box_O4, points_OP3, len(places), size),
        }

    def _weight(
        self, view_O: NDArray[np.int64], box_O4: NDArray[np.float64], places: Placements, size: tuple[int, int]
    ) -> Tensor:
        weight_Vhw = known(places, size, self.boxes.device)
        if len(box_O4):
            unsure_Ohw = inside(box_O4, size, self.boxes.device).float()
            weight_Vhw = weight_Vhw * (1 - highest(unsure_Ohw, view_O, len(places)))
        return weight_Vhw[:, None]

    def _heat(self, view_O: NDArray[np.int64], points_OP3: NDArray[np.float64], num_views: int, size: tuple[int, int]) -> Tensor:
        num_points, at_OP2 = points_OP3.shape[1], points_OP3[..., :2]
        in_view_OP = (points_OP3[..., 2] == 2) & ((at_OP2 >= 0) & (at_OP2 < size[::-1])).all(axis=2)
        object_R, point_R = np.nonzero(in_view_OP)
        at_R2 = at_OP2[object_R, point_R]
        bump_Rhw = bumps(at_R2, np.full_like(at_R2, POINT_SPREAD), size, self.boxes.device)
        heat = highest(bump_Rhw, view_O[object_R] * num_points + point_R, num_views * num_points)
        return heat.view(num_views, num_points, *size)

    def _offsets(
        self,
        view_O: NDArray[np.int64],
        box_O4: NDArray[np.float64],
        points_OP3: NDArray[np.float64],
        num_views: int,
        size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Of the later of two objects where both are near."""
        device, num_points = self.boxes.device, points_OP3.shape[1]
        side_O = (box_O4[:, 2:] - box_O4[:, :2]).max(axis=1)
        object_R, point_R = np.nonzero(points_OP3[..., 2] > 0)
        near_Rhw = self._near(box_O4, side_O, size)[torch.from_numpy(object_R).to(device)]
        order_R = torch.arange(1, len(object_R) + 1, device=device, dtype=torch.int32)[:, None, None]
        plane_R = view_O[object_R] * num_points + point_R
        winner = highest(near_Rhw * order_R, plane_R, num_views * num_points).long()  # 0: nobody
        told_R3 = np.concatenate([points_OP3[object_R, point_R, :2], side_O[object_R, None]], axis=1)
        told = torch.from_numpy(np.concatenate([np.ones((1, 3)), told_R3])).float().to(device)[winner]
        y, x = centres(size, device)
        weight = winner.gt(0).float()
        offset = torch.stack([told[..., 0] - x, told[..., 1] - y[:, None]], dim=1) / told[:, None, ..., 2] * weight[:, None]
        return {
            "offset": offset.view(num_views, 2 * num_points, *size),
            "offset_weight": weight.view(num_views, num_points, *size),
        }

    def _near(self, box_O4: NDArray[np.float64], side_O: NDArray[np.float64], size: tuple[int, int]) -> Tensor:
        """(O, h, w) whether a cell is around the centre of the object."""
        middle_x, middle_y = ((box_O4[:, :2] + box_O4[:, 2:]) / 2).T
        numbers = np.stack([middle_y, middle_x, np.maximum(1.0, AROUND_CENTRE * side_O)])[..., None]
        at_y, at_x, reach = torch.from_numpy(numbers).float().to(self.boxes.device)
        y, x = centres(size, self.boxes.device)
        near_Ohw: Tensor = ((y - at_y).abs() < reach)[:, :, None] & ((x - at_x).abs() < reach)[:, None, :]
        return near_Ohw
