"""What segmentation should say about views: the class map of the frame, looked up pixel by pixel.

V views, F frames, H x W pixels of a view.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.models.placements import Placements, inverse
from training.models.planes import centres

__all__ = ["IGNORE", "MaskTruth"]

IGNORE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskTruth:
    """Class maps of frames, which may be of different sizes.

    value_X: int16, all pixels of all maps, one map after the other, row by row. 0 is background.
    size_F2: height and width of each.
    """

    value_X: Tensor
    size_F2: NDArray[np.int64]

    @classmethod
    def of(cls, maps: Sequence[NDArray[np.int64]], device: torch.device) -> "MaskTruth":
        """maps: (height, width) each."""
        value_X = torch.from_numpy(np.concatenate([one.ravel() for one in maps]).astype(np.int16)).to(device)
        return cls(value_X=value_X, size_F2=np.array([one.shape for one in maps], np.int64))

    def joined(self, others: Sequence["MaskTruth"]) -> "MaskTruth":
        every = (self, *others)
        return MaskTruth(
            value_X=torch.cat([one.value_X for one in every]), size_F2=np.concatenate([one.size_F2 for one in every])
        )

    def targets(self, frame_V: NDArray[np.int64], places: Placements, stride: int) -> dict[str, Tensor]:
        """mask: (V, H, W) int64 class maps, IGNORE beyond the frame."""
        device = self.value_X.device
        pixels_F = self.size_F2.prod(axis=1)
        first_V, height_V, width_V = (
            torch.from_numpy(numbers).to(device)[:, None, None]
            for numbers in ((np.cumsum(pixels_F) - pixels_F)[frame_V], *self.size_F2[frame_V].T)
        )
        back = torch.from_numpy(inverse(places.matrices())).float().to(device)[:, :, :, None, None]
        y, x = centres((places.height, places.width), device)
        at_x, at_y = ((row[:, 0] * x + (row[:, 1] * y[:, None] + row[:, 2])).floor_().long() for row in back.unbind(1))
        beyond = (at_x < 0) | (at_y < 0) | (at_x >= width_V) | (at_y >= height_V)
        pixel = (first_V + at_y * width_V + at_x).masked_fill_(beyond, 0)
        return {"mask": self.value_X[pixel].long().masked_fill_(beyond, IGNORE)}
