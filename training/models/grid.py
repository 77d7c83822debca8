"""The network of a task that says something about the whole frame: a trunk, a coarse grid laid over it, one linear layer.

What the shard usually looks like is taken away from every feature map first, so that the grid shows what is special
about this frame: where things are that are not always there.

N pictures, C channels, H x W input pixels, h x w cells of the feature map, D = C * cells * cells numbers a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.backbones import Trunk
from training.models.network import IMAGENET_MEAN, IMAGENET_STD, NetworkConfig, per_channel
from training.models.shared_trunk import SeenThrough

__all__ = ["GridConfig", "GridNetwork"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridConfig(NetworkConfig):
    """output_stride: of the feature map that is used, one of those the trunk is tapped at.

    cells: rows and columns of the grid, whatever the shape of the frame.
    typical_hw: rows and columns of the feature map of a whole frame of the shard.
    """

    kind: ClassVar[str] = "grid"
    trunk_prefix: ClassVar[str] = ""
    cells: int
    typical_hw: tuple[int, int]


class GridNetwork(nn.Module):
    """The strongest difference from the shard's mean feature map in every cell of the grid, then a linear layer."""

    looks_around = False  # what surrounds a tile is not in it
    trunk_child = "stages"
    mean: Tensor
    std: Tensor
    typical: Tensor

    def __init__(self, trunk: Trunk, config: GridConfig) -> None:
        super().__init__()
        self.config = config
        stages, channels = trunk.until(config.output_stride)
        self.stages: nn.Sequential | SeenThrough = stages
        self.linear = nn.Linear(channels * config.cells**2, sum(config.branches.values()))
        self.register_buffer("typical", torch.zeros(1, channels, *config.typical_hw))
        self.register_buffer("mean", per_channel(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", per_channel(IMAGENET_STD), persistent=False)

    def forward(self, x_NCHW: Tensor) -> dict[str, Tensor]:
        """x_NCHW: RGB in 0..1, H and W multiples of 32. Returns branch name -> (N, channels)."""
        return self.answer(self.features(x_NCHW))

    def answer(self, features_NChw: Tensor) -> dict[str, Tensor]:
        """What the linear layer says about the trunk's maps: branch name -> (N, channels)."""
        logits = self.linear(self.pooled(features_NChw))
        return dict(zip(self.config.branches, logits.split(list(self.config.branches.values()), dim=1), strict=True))

    def features(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, h, w), in the pictures' type."""
        return self.maps((x_NCHW - self.mean) / self.std)

    def maps(self, x_NCHW: Tensor) -> Tensor:
        """The same of pictures that were normalised before."""
        features: Tensor = self.stages(x_NCHW)
        return features.to(x_NCHW.dtype)

    def pooled(self, features_NChw: Tensor) -> Tensor:
        """(N, D): what the linear layer sees."""
        unusual = features_NChw - _fitted(self.typical, features_NChw.shape[-2:])
        return F.adaptive_max_pool2d(unusual, self.config.cells).flatten(1)

    def take_as_typical(self, maps: Sequence[Tensor]) -> None:
        """Their mean is what the shard usually looks like; (1, C, h, w) each, h and w may differ between tiles."""
        total = torch.zeros_like(self.typical)
        for features in maps:
            total += _fitted(features, self.typical.shape[-2:])
        self.typical.copy_(total / len(maps))


def _fitted(map_NChw: Tensor, size: torch.Size) -> Tensor:
    if map_NChw.shape[-2:] == size:
        return map_NChw
    return F.interpolate(map_NChw, size=size, mode="bilinear", align_corners=False)
