"""What the augmented pictures of one fit are drawn from: its labelled frames, what was said about them, and chance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.annotations import FrameLabels
from training.learning.augment import Chance, crop_size
from training.learning.labelled import LabelledFrames
from training.learning.recipes import Recipe
from training.models.inputs import resized
from training.models.network import DenseConfig
from training.models.tasks import DenseTask

__all__ = ["Views"]


class Views:
    """F labelled frames, and which views of them come next. `drawing` makes pictures and targets of them.

    crop: width and height of every picture.
    images: the frames with their surroundings, (3, h, w) uint8 each, on the device; extents_F4: what they cover, frame pixels.
    focus: x, y of things worth looking at on each frame, frame pixels.
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
        frames = labelled.frames
        self.recipe, self.random = recipe, random
        self.scale, self.stride = config.scale, config.output_stride
        self.images: list[Tensor] = [resized(frame, config.scale).to(device) for frame in frames]
        self.extents_F4 = np.array([frame.seen_xyxy for frame in frames], np.float64)
        self.sizes_F2 = np.array([(frame.width, frame.height) for frame in frames], np.int64)
        self.bounded_F = np.array([frame.window is None for frame in frames], np.bool_)
        self.focus = [_centres(label) for label in labelled.labels]
        self.turn = task.free_turn(labelled.labels)
        self.truth = task.truth(labelled.labels, [(frame.height, frame.width) for frame in frames], decoding, device)
        height, width = self.images[0].shape[1:]
        self.crop = crop_size(width, height, recipe.crop_pixels)
        self._queue: list[int] = []

    def choose(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of a batch of N views: the frame of each, (N,), and a random number in 0..1 for each Chance of each, (N, R)."""
        chosen = [self._next() for _ in range(self.recipe.batch_size)]
        return np.array(chosen, np.int64), self.random.random((len(chosen), len(Chance)))

    def _next(self) -> int:
        """Every labelled frame equally often, in random order."""
        if not self._queue:
            self._queue = self.random.permutation(len(self.images)).tolist()
        return self._queue.pop()


def _centres(labels: FrameLabels) -> NDArray[np.float64]:
    boxes = [annotation.bbox_xyxy for annotation in labels.annotations if annotation.bbox_xyxy is not None]
    return np.array([((x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes], np.float64).reshape(-1, 2)
