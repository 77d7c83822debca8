"""What detection should say about views: heat at the centres of objects, and boxes in the cells around them.

V views, K classes, O objects in views, h x w cells of the output grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.models.objects import Objects, Seen
from training.models.placements import Placements
from training.models.planes import bumps, highest, inside, known

__all__ = ["CORE", "BoxTruth"]

CENTRE_SPREAD = 0.15  # standard deviation of the heat, in box sides
CORE = 0.5  # boxes are regressed where the heat of their own centre is above this


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxTruth:
    """Objects of K classes."""

    objects: Objects
    num_classes: int
    device: torch.device

    def joined(self, others: Sequence["BoxTruth"]) -> "BoxTruth":
        objects = self.objects.joined([other.objects for other in others])
        return BoxTruth(objects=objects, num_classes=self.num_classes, device=self.device)

    def targets(self, frame_V: NDArray[np.int64], places: Placements, stride: int) -> dict[str, Tensor]:
        return self.about(self.objects.seen(frame_V, places), places, stride)

    def about(self, seen: Seen, places: Placements, stride: int) -> dict[str, Tensor]:
        """heat (V, K, h, w), heat_weight (V, K, h, w), box (V, 4, h, w) xyxy in cells, box_weight (V, h, w).

        A box that a machine drew and a person let stand says that something is there, not where its sides are: learned from as
        if it were true, it would make every generation a little less exact than the one before.
        """
        size = (places.height // stride, places.width // stride)
        box_O4 = seen.box_O4 / stride
        middle_O2 = (box_O4[:, :2] + box_O4[:, 2:]) / 2
        in_view_O = ((middle_O2 >= 0) & (middle_O2 < size[::-1])).all(axis=1)
        wanted_O = in_view_O & ~self.objects.ambiguous_O[seen.row_O]
        order = np.argsort(-(box_O4[:, 2:] - box_O4[:, :2]).prod(axis=1), kind="stable")
        order = order[wanted_O[order]]  # small objects last: they win the cells they share with large ones
        return {
            **self._taught(box_O4[order], seen.view_O[order], seen.row_O[order], len(places), size),
            "heat_weight": self._heat_weight(box_O4[~wanted_O], seen.view_O[~wanted_O], seen.row_O[~wanted_O], places, size),
        }

    def _taught(
        self,
        box_O4: NDArray[np.float64],
        view_O: NDArray[np.int64],
        row_O: NDArray[np.int64],
        num_views: int,
        size: tuple[int, int],
    ) -> dict[str, Tensor]:
        middle_O2 = (box_O4[:, :2] + box_O4[:, 2:]) / 2
        spread_O2 = np.maximum(CENTRE_SPREAD * (box_O4[:, 2:] - box_O4[:, :2]), 0.5)
        bump_Ohw = bumps(middle_O2, spread_O2, size, self.device)
        plane_O = view_O * self.num_classes + self.objects.class_O[row_O]
        heat = highest(bump_Ohw, plane_O, num_views * self.num_classes)
        core_Ohw = bump_Ohw > CORE
        drawn_O = torch.from_numpy(self.objects.drawn_O[row_O]).to(self.device)
        core_bump_Ohw = bump_Ohw * core_Ohw
        share_Ohw = core_bump_Ohw * (drawn_O / core_bump_Ohw.sum(dim=(1, 2)))[:, None, None]
        order_O = torch.arange(1, len(box_O4) + 1, device=self.device, dtype=torch.int32)
        winner_Vhw = highest(core_Ohw * order_O[:, None, None], view_O, num_views).long()  # 0: nobody
        box_Vhw4 = _or_nothing(torch.from_numpy(box_O4).float().to(self.device))[winner_Vhw]
        weight_Vc = _or_nothing(share_Ohw.flatten(1)).gather(0, winner_Vhw.flatten(1))
        return {
            "heat": heat.view(num_views, self.num_classes, *size),
            "box": box_Vhw4.permute(0, 3, 1, 2),
            "box_weight": weight_Vc.view_as(winner_Vhw),
        }

    def _heat_weight(
        self,
        box_O4: NDArray[np.float64],
        view_O: NDArray[np.int64],
        row_O: NDArray[np.int64],
        places: Placements,
        size: tuple[int, int],
    ) -> Tensor:
        """0 where nobody said what lies around a tile, and in boxes that are neither wanted nor wrong."""
        weight_VKhw = known(places, size, self.device)[:, None].repeat(1, self.num_classes, 1, 1)
        if len(box_O4):
            in_box_Ohw = inside(box_O4, size, self.device)
            plane_O = view_O * self.num_classes + self.objects.class_O[row_O]
            weight_VKhw -= weight_VKhw * highest(in_box_Ohw.float(), plane_O, len(places) * self.num_classes).view_as(weight_VKhw)
        return weight_VKhw


def _or_nothing(rows: Tensor) -> Tensor:
    """The rows from 1 on, zeros as row 0."""
    return torch.cat([rows.new_zeros(1, *rows.shape[1:]), rows])
