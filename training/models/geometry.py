"""Where a frame lies in the network's input: the one affine map that pictures and labels share."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Placement", "affine", "half_sides"]

Points = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A frame mirrored left to right (if `mirror`), turned about its centre, scaled, then shifted into the input.

    frame_width, frame_height: pixels of the frame.
    width, height: pixels of the network's input, of which only part may be covered by the frame.
    turn: degrees, clockwise on the screen.
    bounded: nothing exists beyond the frame; false for a tile, whose objects may reach into its neighbours.
    """

    frame_width: int
    frame_height: int
    width: int
    height: int
    scale_x: float
    scale_y: float
    shift_x: float = 0.0
    shift_y: float = 0.0
    mirror: bool = False
    turn: float = 0.0
    bounded: bool = True

    def matrix(self) -> NDArray[np.float64]:
        """(3, 3): homogeneous frame pixels -> input pixels."""
        matrix = np.eye(3)
        matrix[:2] = affine(
            np.array([self.frame_width, self.frame_height]),
            np.array([self.scale_x, self.scale_y]),
            np.array([self.shift_x, self.shift_y]),
            np.array(self.mirror),
            np.array(self.turn),
        )
        return matrix

    def points_to_input(self, points_N2: Points) -> NDArray[np.float32]:
        """x, y in frame pixels -> x, y in input pixels."""
        return _apply(self.matrix(), points_N2)

    def points_to_frame(self, points_N2: Points) -> NDArray[np.float32]:
        """The inverse of points_to_input."""
        return _apply(_to_frame(self), points_N2)

    def boxes_to_input(self, boxes_N4: Points) -> NDArray[np.float32]:
        """xyxy in frame pixels -> xyxy in input pixels, not clipped.

        Of a turned frame: the box around the turned ellipse that fills the box, nearer to most things than its corners.
        """
        boxes = np.asarray(boxes_N4, np.float32).reshape(-1, 4)
        centre = self.points_to_input((boxes[:, :2] + boxes[:, 2:]) / 2)
        reach = half_sides(boxes, np.array(self.turn)) * np.array([self.scale_x, self.scale_y])
        return np.concatenate([centre - reach, centre + reach], axis=1).astype(np.float32)

    def boxes_to_frame(self, boxes_N4: Points) -> NDArray[np.float32]:
        """The inverse of boxes_to_input, of a frame that is not turned."""
        assert self.turn == 0, "the box of a turned ellipse does not tell the ellipse"
        corners = self.points_to_frame(np.asarray(boxes_N4, np.float32).reshape(-1, 2)).reshape(-1, 2, 2)
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@lru_cache(maxsize=1024)  # frames of a video lie alike
def _to_frame(placement: Placement) -> Points:
    """(3, 3): homogeneous input pixels -> frame pixels."""
    return np.linalg.inv(placement.matrix())


def affine(
    frame_2: NDArray[Any], scale_2: NDArray[Any], shift_2: NDArray[Any], mirror: NDArray[np.bool_], turn: NDArray[Any]
) -> NDArray[np.float64]:
    """(…, 2, 3): frame pixels -> input pixels, as the fields of a Placement say; any number of them at once.

    frame_2, scale_2, shift_2: (…, 2), of x and y. mirror, turn: (…).
    """
    cx, cy = frame_2[..., 0] / 2, frame_2[..., 1] / 2
    cos, sin, sign = np.cos(np.radians(turn)), np.sin(np.radians(turn)), np.where(mirror, -1.0, 1.0)
    xx, xy = scale_2[..., 0] * cos * sign, -scale_2[..., 0] * sin
    yx, yy = scale_2[..., 1] * sin * sign, scale_2[..., 1] * cos
    x = scale_2[..., 0] * cx + shift_2[..., 0] - xx * cx - xy * cy
    y = scale_2[..., 1] * cy + shift_2[..., 1] - yx * cx - yy * cy
    return np.stack([xx, xy, x, yx, yy, y], axis=-1).reshape(*np.shape(cx), 2, 3)


def half_sides(boxes_N4: NDArray[Any], turn: NDArray[Any]) -> NDArray[Any]:
    """(N, 2): half width and half height of the box around the ellipse that fills each xyxy box, turned by so many degrees."""
    half_x, half_y = ((boxes_N4[:, 2:] - boxes_N4[:, :2]) / 2).T
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return np.stack([np.hypot(cos * half_x, sin * half_y), np.hypot(sin * half_x, cos * half_y)], axis=1)


def _apply(matrix: Points, points_N2: Points) -> NDArray[np.float32]:
    points = np.asarray(points_N2, np.float64).reshape(-1, 2)
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2], np.float32)
