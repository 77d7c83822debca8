"""A network that nobody fitted to anything, and what pictures look like to it."""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.data.frames import Frame
from training.models.backbones import Backbone, starting_trunk
from training.models.inputs import place_frame, stack_inputs
from training.models.network import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["Eye"]

LONG_SIDE = 256  # pixels; enough to tell frames apart
STRIDE = 16  # of the feature map; the deepest one knows less of where, and of texture
SCRATCH_SEED = 0  # of a network without weights, so that two processes see the same


class Eye:
    """The stages of a backbone up to its map of stride STRIDE, with its starting weights; on the CPU, and safe in threads.

    identity: of what it sees ('mobilenet_v2-' and 16 hex digits); safe in a path. Two of one identity see the same.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Raises BadBackbone: the starting weights cannot be used."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SCRATCH_SEED)
            trunk, _ = starting_trunk(backbone)
        self._stride = min(trunk.strides, key=lambda stride: abs(stride - STRIDE))
        self._stages, channels = trunk.until(self._stride)
        self._stages.eval()
        self.num_features = 2 * channels
        self.identity = f"{backbone.name}-{_digest(self._stages)[:16]}"

    @torch.inference_mode()
    def feature_map(self, frame: Frame, long_side: int | None = None) -> Tensor:
        """(C, h, w) of a frame without its surroundings, and without the padding right and below.

        long_side: of the pictures that it belongs to, in pixels: they are scaled alike. By default this frame's own.
        """
        frame = frame.alone()
        scale = LONG_SIDE / (long_side or max(frame.width, frame.height))
        image_3HW, _ = place_frame(frame, scale)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        map_NChw: Tensor = self._stages((stack_inputs([image_3HW], torch.device("cpu")) - mean) / std)
        rows, columns = (max(1, round(side * scale / self._stride)) for side in (frame.height, frame.width))
        return map_NChw[0, :, :rows, :columns]

    def glance(self, frame: Frame) -> NDArray[np.float32]:
        """(num_features,) of length 1: mean and standard deviation of every channel; says what is shown, not where."""
        map_CM = self.feature_map(frame).flatten(1)
        features_D = torch.cat([map_CM.mean(dim=1), map_CM.std(dim=1, unbiased=False)])
        seen: NDArray[np.float32] = nn.functional.normalize(features_D, dim=0).numpy()
        return seen


def _digest(stages: nn.Module) -> str:
    digest = hashlib.sha256(f"{LONG_SIDE} mean std".encode())
    for key, tensor in sorted(stages.state_dict().items()):
        digest.update(f"{key} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
