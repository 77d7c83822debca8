"""The dense network of a task that says where things are: trunk, neck, and one head with a branch per thing it predicts.

N pictures, C channels, H x W input pixels, h x w cells of the output grid (h = H / output_stride).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.errors import BadBackbone
from training.models.backbones import Trunk
from training.models.shared_trunk import SeenThrough

__all__ = ["DenseConfig", "DenseNetwork", "NetworkConfig", "coordinates", "per_channel"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEEPEST_STRIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """What every kind of network needs to be rebuilt around its tensors; goes into the card.

    scale: input pixels per frame pixel; a frame is resized by it and padded to a multiple of 32.
    output_stride: input pixels per cell of the output grid.
    branches: name of a head branch -> its channels.
    trunk_prefix: what comes before a trunk's own names of tensors ('stages.0.…') in the network's.
    """

    kind: ClassVar[str]
    trunk_prefix: ClassVar[str]
    backbone: str
    scale: float
    output_stride: int
    branches: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self), "branches": dict(self.branches)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseConfig(NetworkConfig):
    """neck_channels: width of the maps that all strides are summed in.

    coordinates: the head sees where in the picture it is (CoordConv; Liu et al., 2018).
    """

    kind: ClassVar[str] = "dense"
    trunk_prefix: ClassVar[str] = "trunk."
    neck_channels: int
    coordinates: bool = False


class DenseNetwork(nn.Module):
    """Feature maps at every tapped stride, each brought to `neck_channels` and summed, then a small head per branch."""

    looks_around = True  # what surrounds a tile helps to find what lies on its edge
    trunk_child = "trunk"
    mean: Tensor
    std: Tensor

    def __init__(self, trunk: Trunk | SeenThrough, config: DenseConfig) -> None:
        """Raises BadBackbone: a trunk without padding, whose maps do not lie over the picture."""
        super().__init__()
        if any(DEEPEST_STRIDE % stride for stride in trunk.strides):
            raise BadBackbone(
                f"backbone {config.backbone!r}: maps at strides {trunk.strides}, needed divisors of {DEEPEST_STRIDE}; "
                "only classes of whole frames can be fitted on it"
            )
        self.config = config
        self.trunk = trunk
        width = config.neck_channels
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in trunk.channels)
        extra = 2 if config.coordinates else 0
        self.smooth = nn.Sequential(nn.Conv2d(width + extra, width, 3, padding=1), nn.ReLU())
        self.heads = nn.ModuleDict({name: _branch(width, channels) for name, channels in config.branches.items()})
        self.register_buffer("mean", per_channel(IMAGENET_MEAN), persistent=False)
        self.register_buffer("std", per_channel(IMAGENET_STD), persistent=False)

    def forward(self, x_NCHW: Tensor, places_2hw: Tensor | None = None) -> dict[str, Tensor]:
        """What the head says: branch name -> (N, channels, h, w).

        x_NCHW: RGB in 0..1, H and W multiples of 32.
        places_2hw: where in the picture a piece of it lies, cut out of its `coordinates`; None if x_NCHW is all of it.
        """
        return self.answer(self.features(x_NCHW), places_2hw)

    def features(self, x_NCHW: Tensor) -> list[Tensor]:
        """The trunk's maps, one per tapped stride, in the pictures' type: (N, channels, H / stride, W / stride)."""
        return self.maps((x_NCHW - self.mean) / self.std)

    def maps(self, x_NCHW: Tensor) -> list[Tensor]:
        """The same of pictures that were normalised before."""
        return [one.to(x_NCHW.dtype) for one in self.trunk(x_NCHW)]

    def answer(self, maps: list[Tensor], places_2hw: Tensor | None = None) -> dict[str, Tensor]:
        """What the head says about the trunk's maps: branch name -> (N, channels, h, w)."""
        fused_NChw = self._fuse(maps)
        if self.config.coordinates:
            rows, columns = fused_NChw.shape[-2:]
            places = coordinates(rows, columns, fused_NChw.device) if places_2hw is None else places_2hw
            placed_N2hw = places.to(fused_NChw.dtype).expand(len(fused_NChw), 2, rows, columns)
            fused_NChw = torch.cat([fused_NChw, placed_N2hw], dim=1)
        neck_NChw = self.smooth(fused_NChw)
        return {name: head(neck_NChw) for name, head in self.heads.items()}

    def last_layer(self, branch: str) -> nn.Conv2d:
        """The convolution that gives a branch its answer: where a task sets its starting point."""
        layer = self.heads.get_submodule(f"{branch}.2")
        assert isinstance(layer, nn.Conv2d)
        return layer

    def _fuse(self, maps: list[Tensor]) -> Tensor:
        """Sum from deep to shallow down to the output stride; shallower maps are averaged onto it."""
        fused: Tensor | None = None
        for stride, lateral, x in sorted(zip(self.trunk.strides, self.lateral, maps, strict=True), key=lambda t: -t[0]):
            if stride < self.config.output_stride:
                x = F.avg_pool2d(x, self.config.output_stride // stride)
            x = lateral(x)
            if fused is not None and fused.shape[-2:] != x.shape[-2:]:
                fused = F.interpolate(fused, size=x.shape[-2:], mode="bilinear", align_corners=False)
            fused = x if fused is None else fused + x
        assert fused is not None
        return fused


def coordinates(rows: int, columns: int, device: torch.device) -> Tensor:
    """(2, rows, columns): x and y from -1 to 1 across the picture."""
    y, x = (torch.linspace(-1, 1, count, device=device) for count in (rows, columns))
    return torch.stack([x.expand(rows, columns), y[:, None].expand(rows, columns)])


def per_channel(values: Sequence[float]) -> Tensor:
    """(1, C, 1, 1), to be taken from every picture of a batch."""
    return torch.tensor(values).view(1, -1, 1, 1)


def _branch(width: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, channels, 1))
