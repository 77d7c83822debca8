"""Where frames lie in many views at once: what a Placement says, as arrays.

V views, O objects of which each is in one view.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.models.geometry import Placement, affine, half_sides

__all__ = ["Placements", "inverse"]

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placements:
    """The fields of V Placements whose inputs are of one size; what is x and y there has both here.

    view_O is the view that each object is in.
    """

    width: int
    height: int
    frame_V2: NDArray[np.int64]
    scale_V2: Numbers
    shift_V2: Numbers
    mirror_V: NDArray[np.bool_]
    turn_V: Numbers
    bounded_V: NDArray[np.bool_]

    @classmethod
    def of(cls, places: Sequence[Placement]) -> "Placements":
        return cls(
            width=places[0].width,
            height=places[0].height,
            frame_V2=np.array([(place.frame_width, place.frame_height) for place in places], np.int64),
            scale_V2=np.array([(place.scale_x, place.scale_y) for place in places], np.float64),
            shift_V2=np.array([(place.shift_x, place.shift_y) for place in places], np.float64),
            mirror_V=np.array([place.mirror for place in places], np.bool_),
            turn_V=np.array([place.turn for place in places], np.float64),
            bounded_V=np.array([place.bounded for place in places], np.bool_),
        )

    def __len__(self) -> int:
        return len(self.turn_V)

    def matrices(self) -> Numbers:
        """(V, 2, 3): frame pixels -> input pixels."""
        return affine(self.frame_V2, self.scale_V2, self.shift_V2, self.mirror_V, self.turn_V)

    def points_to_input(self, points: NDArray[Any], view_O: NDArray[np.int64]) -> Numbers:
        """(O, …, 2): x, y in frame pixels -> x, y in input pixels."""
        matrix = self.matrices()[view_O].reshape(len(view_O), *[1] * (points.ndim - 2), 2, 3)
        placed: Numbers = (matrix[..., :2] * points[..., None, :]).sum(axis=-1) + matrix[..., 2]
        return placed

    def boxes_to_input(self, boxes_O4: NDArray[Any], view_O: NDArray[np.int64]) -> Numbers:
        """(O, 4): xyxy in frame pixels -> xyxy in input pixels, as Placement does it."""
        centre = self.points_to_input((boxes_O4[:, :2] + boxes_O4[:, 2:]) / 2, view_O)
        reach = half_sides(boxes_O4, self.turn_V[view_O]) * self.scale_V2[view_O]
        return np.concatenate([centre - reach, centre + reach], axis=1)

    def inside(self, rows: int, columns: int) -> NDArray[np.bool_]:
        """(V, rows, columns): whether the centre of each cell of a grid laid over the input shows the frame itself."""
        matrix = inverse(self.matrices())[:, :, :, None, None]
        x = (np.arange(columns) + 0.5) * self.width / columns
        y = (np.arange(rows)[:, None] + 0.5) * self.height / rows
        at = matrix[:, :, 0] * x + matrix[:, :, 1] * y + matrix[:, :, 2]
        within = (at >= 0) & (at < self.frame_V2[:, :, None, None])
        return within[:, 0] & within[:, 1]


def inverse(matrices_V23: Numbers) -> Numbers:
    """(V, 2, 3): the affine maps the other way round."""
    (a, b, x), (c, d, y) = matrices_V23[:, 0].T, matrices_V23[:, 1].T
    area = a * d - b * c
    rows = [d, -b, b * y - d * x, -c, a, c * x - a * y]
    return np.stack([row / area for row in rows], axis=1).reshape(-1, 2, 3)
