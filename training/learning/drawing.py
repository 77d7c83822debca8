"""Augmented pictures of many fits at a time, with what each network should say about its own.

M fits, N pictures of each in a batch, V = M * N views, F frames of all fits.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.learning.augment import Scenes, random_placements, reach, relight
from training.learning.views import Views
from training.models.inputs import view

__all__ = ["Drawing"]


class Drawing:
    """Each fit chooses its views from its own random numbers, as it would alone; then all of them are computed together."""

    def __init__(self, views: Sequence[Views], dtype: torch.dtype = torch.float32) -> None:
        """views: of fits of one shape, on one device. dtype: of the pictures, and of targets that are not whole numbers."""
        first = views[0]
        self._views, self._dtype = tuple(views), dtype
        self._crop, self._recipe, self._stride = first.crop, first.recipe, first.stride
        counts = [len(one.images) for one in views]
        self._first_M = np.cumsum(counts) - counts
        self._images = [image for one in views for image in one.images]
        self._extents_F4 = np.concatenate([one.extents_F4 for one in views])
        self._frame_F2 = np.concatenate([one.sizes_F2 for one in views])
        self._bounded_F = np.concatenate([one.bounded_F for one in views])
        self._scale_F = np.repeat([one.scale for one in views], counts)
        self._turn_F = np.repeat([one.turn for one in views], counts)
        focus = [points for one in views for points in one.focus]
        self._focus_X2 = np.concatenate(focus)
        self._num_focus_F = np.array([len(points) for points in focus], np.int64)
        self._first_focus_F = np.cumsum(self._num_focus_F) - self._num_focus_F
        self._truth = first.truth.joined([one.truth for one in views[1:]])

    def next(self) -> tuple[Tensor, dict[str, Tensor]]:
        """(M, N, 3, H, W) in 0..1, and the targets, (M, N, …) each."""
        chosen = [one.choose() for one in self._views]
        frame_V = np.concatenate([frames + first for (frames, _), first in zip(chosen, self._first_M, strict=True)])
        chance_VR = np.concatenate([chance for _, chance in chosen])
        places = random_placements(chance_VR, self._scenes(frame_V), self._crop, self._recipe)
        images = [self._images[frame] for frame in frame_V.tolist()]
        seen = view(images, self._extents_F4[frame_V], places, reach=reach(self._crop, self._recipe))
        targets = {"x": relight(seen, chance_VR, self._recipe), **self._truth.targets(frame_V, places, self._stride)}
        shaped = {name: self._shaped(x) for name, x in targets.items()}
        return shaped.pop("x"), shaped

    def _shaped(self, x: Tensor) -> Tensor:
        x = x.view(len(self._views), -1, *x.shape[1:])
        return x.to(self._dtype) if x.is_floating_point() else x

    def _scenes(self, frame_V: NDArray[np.int64]) -> Scenes:
        return Scenes(
            frame_V2=self._frame_F2[frame_V],
            scale_V=self._scale_F[frame_V],
            turn_V=self._turn_F[frame_V],
            bounded_V=self._bounded_F[frame_V],
            focus_X2=self._focus_X2,
            first_focus_V=self._first_focus_F[frame_V],
            num_focus_V=self._num_focus_F[frame_V],
        )
