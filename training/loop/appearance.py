"""What frames look like, before anybody labelled anything: features of the backbone that micro-models start from."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from training.data.frames import Frame
from training.data.shards import Shard
from training.data.sources import open_frames
from training.models.backbones import Backbone, Trunk, starting_trunk
from training.models.inputs import place_frame, stack_inputs
from training.models.network import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["frame_features"]

LONG_SIDE = 256  # pixels; enough to tell frames apart
CELLS = 4  # features are averaged over a grid of CELLS x CELLS, so that where something is counts too
STRIDE = 16  # of the feature map; the deepest one knows less of where


@torch.inference_mode()
def frame_features(shard: Shard, frame_indices: Sequence[int], backbone: Backbone) -> NDArray[np.float32]:
    """(N, D), one row per frame in the order given; frame_indices must increase.

    Raises:
        BadVideo, BadPicture: a frame cannot be decoded.
        BadBackbone: the starting weights cannot be used.
    """
    trunk, _ = starting_trunk(backbone)
    trunk.eval()
    with open_frames(shard) as source:
        return np.stack([_features(trunk, frame) for frame in source.read(frame_indices)])


def _features(trunk: Trunk, frame: Frame) -> NDArray[np.float32]:
    image_3HW, _ = place_frame(frame, LONG_SIDE / max(frame.seen_HW3.shape[:2]))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    maps = trunk((stack_inputs([image_3HW], torch.device("cpu")) - mean) / std)
    map_NChw = maps[min(range(len(maps)), key=lambda i: abs(trunk.strides[i] - STRIDE))]
    features: NDArray[np.float32] = F.adaptive_avg_pool2d(map_NChw, CELLS).flatten().numpy()
    return features
