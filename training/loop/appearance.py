"""What frames look like, before anybody labelled anything: features of the backbone that micro-models start from."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn
from torch.nn import functional as F

from training.data.frames import Frame
from training.data.shards import Shard
from training.data.sources import open_frames
from training.models.backbones import Backbone, starting_trunk
from training.models.inputs import place_frame, stack_inputs
from training.models.network import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["frame_features", "ground_kinds"]

LONG_SIDE = 256  # pixels; enough to tell frames apart
CELLS = 4  # features are averaged over a grid of CELLS x CELLS, so that where something is counts too
STRIDE = 16  # of the feature map; the deepest one knows less of where
KINDS = 8  # of ground; with many more, every other tile is one of its own
KMEANS_SEED = 0


def frame_features(shard: Shard, frame_indices: Sequence[int], backbone: Backbone) -> NDArray[np.float32]:
    """(N, D), one row per frame in the order given; frame_indices must increase.

    Raises:
        BadVideo, BadPicture: a frame cannot be decoded.
        BadBackbone: the starting weights cannot be used.
    """
    maps = _feature_maps(shard, frame_indices, backbone)
    return np.stack([F.adaptive_avg_pool2d(map_Chw, CELLS).flatten().numpy() for map_Chw in maps])


def ground_kinds(shard: Shard, frame_indices: Sequence[int], backbone: Backbone) -> NDArray[np.float64]:
    """(N, KINDS): how much of each tile, as a share of a whole tile, shows each kind of ground.

    Kinds are clusters (k-means) of the directions of feature vectors over all the tiles. Raises what frame_features does.
    """
    cells = [map_Chw.flatten(1).T.numpy() for map_Chw in _feature_maps(shard, frame_indices, backbone)]
    vectors_MC = np.concatenate(cells)
    vectors_MC = vectors_MC / np.maximum(np.linalg.norm(vectors_MC, axis=1, keepdims=True), 1e-9)
    _, kinds_M = kmeans2(vectors_MC, KINDS, seed=KMEANS_SEED, minit="++", missing="warn")
    counts_NK = np.zeros((len(cells), KINDS))
    np.add.at(counts_NK, (np.repeat(np.arange(len(cells)), [len(rows) for rows in cells]), kinds_M), 1)
    return counts_NK / max(len(rows) for rows in cells)


@torch.inference_mode()
def _feature_maps(shard: Shard, frame_indices: Sequence[int], backbone: Backbone) -> Iterator[Tensor]:
    """(C, h, w) of each frame, without its surroundings and without the padding right and below."""
    trunk, _ = starting_trunk(backbone)
    stride = min(trunk.strides, key=lambda stride: abs(stride - STRIDE))
    stages, _ = trunk.until(stride)
    stages.eval()
    scale = LONG_SIDE / max(shard.width, shard.height)
    with open_frames(shard) as source:
        for frame in source.read(frame_indices):
            yield _feature_map(stages, stride, frame.alone(), scale)


def _feature_map(stages: nn.Module, stride: int, frame: Frame, scale: float) -> Tensor:
    image_3HW, _ = place_frame(frame, scale)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    map_NChw: Tensor = stages((stack_inputs([image_3HW], torch.device("cpu")) - mean) / std)
    rows, columns = (max(1, round(side * scale / stride)) for side in (frame.height, frame.width))
    return map_NChw[0, :, :rows, :columns]
