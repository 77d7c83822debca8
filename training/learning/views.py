"""Augmented pictures of labelled frames, with what a network should say about each."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.annotations import FrameLabels
from training.learning.augment import crop_size, random_placement, relight
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe
from training.models.inputs import resized, view
from training.models.network import DenseConfig
from training.models.tasks import DenseTask

__all__ = ["Views"]


class Views:
    """Augmented pictures of the labelled frames, warped and lit on the device, with their targets, on the CPU.

    crop: width and height of every picture.
    random: whatever is drawn for this fit is drawn from here.
    """

    def __init__(
        self,
        labelled: LabelledFrames,
        task: DenseTask,
        config: DenseConfig,
        decoding: Mapping[str, Any],
        recipe: Recipe,
        random: np.random.Generator,
        device: torch.device,
    ) -> None:
        self._labelled, self._task, self._config, self._decoding = labelled, task, config, decoding
        self._recipe, self.random = recipe, random
        self._images: list[Tensor] = [resized(frame, config.scale).to(device) for frame in labelled.frames]
        self._focus = [_centres(label) for label in labelled.labels]
        self._turn = task.free_turn(labelled.labels)
        height, width = self._images[0].shape[1:]
        self.crop = crop_size(width, height, recipe.crop_pixels)
        self._queue: list[int] = []

    def draw(self) -> tuple[Tensor, dict[str, Tensor]]:
        chosen = [self._next() for _ in range(self._recipe.batch_size)]
        placements = [
            random_placement(
                frame_size=(self._labelled.frames[i].width, self._labelled.frames[i].height),
                scale=self._config.scale,
                crop=self.crop,
                focus_N2=self._focus[i],
                recipe=self._recipe,
                turn=self._turn,
                bounded=self._labelled.frames[i].window is None,
                random=self.random,
            )
            for i in chosen
        ]
        extents = [self._labelled.frames[i].seen_xyxy for i in chosen]
        x_NCHW = relight(view([self._images[i] for i in chosen], extents, placements), self._recipe, self.random)
        return x_NCHW, self._task.targets([self._labelled.labels[i] for i in chosen], placements, self._config, self._decoding)

    def _next(self) -> int:
        """Every labelled frame equally often, in random order."""
        if not self._queue:
            self._queue = self.random.permutation(len(self._images)).tolist()
        return self._queue.pop()


def _centres(labels: FrameLabels) -> NDArray[np.float32]:
    boxes = [annotation.bbox_xyxy for annotation in labels.annotations if annotation.bbox_xyxy is not None]
    return np.array([((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes], np.float32).reshape(-1, 2)
