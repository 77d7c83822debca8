"""Where a frame lies in the network's input: the one affine map that pictures and labels share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Placement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """input = scale * frame + shift, mirrored left to right first when `mirror`; all axis-aligned.

    frame_width, frame_height: pixels of the frame.
    width, height: pixels of the network's input, of which only part may be covered by the frame.
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
    bounded: bool = True

    def boxes_to_input(self, boxes_N4: NDArray[np.float32]) -> NDArray[np.float32]:
        """xyxy in frame pixels -> xyxy in input pixels, not clipped."""
        x1, y1, x2, y2 = np.asarray(boxes_N4, np.float32).reshape(-1, 4).T
        if self.mirror:
            x1, x2 = self.frame_width - x2, self.frame_width - x1
        columns = [x1 * self.scale_x + self.shift_x, y1 * self.scale_y + self.shift_y]
        columns += [x2 * self.scale_x + self.shift_x, y2 * self.scale_y + self.shift_y]
        return np.stack(columns, axis=1)

    def boxes_to_frame(self, boxes_N4: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of boxes_to_input."""
        x1, y1, x2, y2 = np.asarray(boxes_N4, np.float32).reshape(-1, 4).T
        x1, x2 = (x1 - self.shift_x) / self.scale_x, (x2 - self.shift_x) / self.scale_x
        y1, y2 = (y1 - self.shift_y) / self.scale_y, (y2 - self.shift_y) / self.scale_y
        if self.mirror:
            x1, x2 = self.frame_width - x2, self.frame_width - x1
        return np.stack([x1, y1, x2, y2], axis=1)
