"""What the frames of a shard look like, before anybody labelled anything."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor
from torch.nn import functional as F

from training.data.shards import Shard
from training.data.sources import open_frames
from training.models.backbones import Backbone
from training.models.eye import Eye

__all__ = ["frame_features", "ground_kinds"]

CELLS = 4  # features are averaged over a grid of CELLS x CELLS, so that where something is counts too
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


def _feature_maps(shard: Shard, frame_indices: Sequence[int], backbone: Backbone) -> Iterator[Tensor]:
    """(C, h, w) of each frame, all at one scale."""
    eye, long_side = Eye(backbone), max(shard.width, shard.height)
    with open_frames(shard) as source:
        for frame in source.read(frame_indices):
            yield eye.feature_map(frame, long_side)
