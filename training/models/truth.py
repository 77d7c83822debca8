"""What people said about labelled frames, ready to be asked about views of them."""

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from training.models.placements import Placements

__all__ = ["Truth"]


class Truth(Protocol):
    """Labels of the frames of one fit, or of several fits of one shape, whose frames follow each other."""

    def joined(self, others: Sequence[Any]) -> Self:
        """This and the others, of the same task, as one."""
        ...

    def targets(self, frame_V: NDArray[np.int64], places: Placements, stride: int) -> dict[str, Tensor]:
        """What the branches should say about V views: name -> (V, …), on the device that the labels were made for.

        Args:
            frame_V: which frame is seen.
            stride: input pixels per cell of the output grid.
        """
        ...
