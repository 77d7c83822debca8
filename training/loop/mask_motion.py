"""A mask on its way from one keyframe to the next: shape-based interpolation (Raya & Udupa, 1990).

Signed distances to the outline, positive inside, are blended. Before that both masks may be brought to where the box
around the mask is on a straight line between the keyframes.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, distance_transform_edt

from training.data import rle
from training.models.mask_metrics import overlap

__all__ = ["MaskMotion"]

Box = tuple[float, float, float, float]
Distances = NDArray[np.float32]


class MaskMotion:
    """Two masks of one object, or of one class, and all that lies between them.

    The masks are laid over each other box to box if they overlap more that way than as they are: an object that moves
    does, the road of a street scene does not.

    Args:
        first, last: compressed runs of a whole frame, neither of them empty.
        frame_hw: height and width of the frame in pixels.
    """

    def __init__(self, first: str, last: str, frame_hw: tuple[int, int]) -> None:
        self._frame_hw = frame_hw
        self._counts = (first, last)
        masks = [rle.decode(counts, *frame_hw) for counts in self._counts]
        self._window = _window(masks[0] | masks[1])
        inside = [mask[self._window] for mask in masks]
        padded = [np.pad(mask, 1) for mask in inside]
        self._boxes = [_box(mask) for mask in padded]
        self._distances = [_signed_distances(mask) for mask in padded]  # what moves ends at the edge of the frame
        laid_over = self._seen(1, self._boxes[0]) > 0
        self._moves = overlap(padded[0], laid_over) > overlap(padded[0], padded[1])
        if not self._moves:  # what stays goes on beyond it
            self._distances = [_signed_distances(np.pad(mask, 1, mode="edge")) for mask in inside]

    def at(self, share: float) -> tuple[str, Box]:
        """The mask and the box around it, `share` (0..1) of the way; the nearer keyframe's where nothing would be left."""
        box = (1 - share) * self._boxes[0] + share * self._boxes[1] if self._moves else None
        mask_HW = np.zeros(self._frame_hw, dtype=np.bool_)
        distances = (1 - share) * self._seen(0, box) + share * self._seen(1, box)
        mask_HW[self._window] = distances[1:-1, 1:-1] > 0
        counts = rle.encode(mask_HW) if mask_HW.any() else self._counts[round(share)]
        found = rle.mask_box(counts, *self._frame_hw)
        assert found is not None
        return counts, found

    def _seen(self, keyframe: int, box: NDArray[np.float64] | None) -> Distances:
        """Distances of one keyframe's mask, stretched so that its box becomes `box`."""
        distances, own = self._distances[keyframe], self._boxes[keyframe]
        if box is None:
            return distances
        ratio = (own[2:] - own[:2]) / (box[2:] - box[:2])
        offset = own[:2] - 0.5 + (0.5 - box[:2]) * ratio  # pixel centres lie at half numbers
        moved = affine_transform(distances, np.diag(ratio[::-1]), offset[::-1], order=1, mode="nearest")
        return np.asarray(moved / np.sqrt(ratio.prod()), np.float32)


def _window(mask_HW: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The pixels that the mask fills and one more on each side, within the frame."""
    bounds = []
    for axis, limit in ((1, mask_HW.shape[0]), (0, mask_HW.shape[1])):
        filled = np.flatnonzero(mask_HW.any(axis=axis))
        bounds.append(slice(max(0, int(filled[0]) - 1), min(limit, int(filled[-1]) + 2)))
    return bounds[0], bounds[1]


def _box(mask_HW: NDArray[np.bool_]) -> NDArray[np.float64]:
    """xyxy edges of the pixels that the mask fills."""
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)


def _signed_distances(mask_HW: NDArray[np.bool_]) -> Distances:
    """Pixels to the outline, positive inside; the edge of the array is no outline."""
    if mask_HW.all():
        return np.full(mask_HW.shape, np.hypot(*mask_HW.shape), np.float32)
    return np.asarray(distance_transform_edt(mask_HW) - distance_transform_edt(~mask_HW), np.float32)
