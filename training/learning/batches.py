"""What a step of fitting learns from: feature maps of augmented views, and what the head should say about them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from training.models.network import DenseNetwork

__all__ = ["Batches"]

Targets = dict[str, Tensor]


class Batches:
    """Feature maps of new views at every draw, or of a fixed set of views whose maps are computed once and kept.

    Kept maps need a trunk that does not change. They take `cached_views` times the bytes of one view's maps: 0.6 MB
    for 60,000 input pixels of a MobileNetV2.
    """

    def __init__(
        self,
        network: DenseNetwork,
        draw: Callable[[], tuple[Tensor, Targets]],
        *,
        cached_views: int,
        batch_size: int,
        random: np.random.Generator,
    ) -> None:
        """draw: gives `batch_size` new views, (N, 3, H, W) in 0..1, and their targets, (N, …) each."""
        self._network, self._draw, self._batch_size, self._random = network, draw, batch_size, random
        self._kept = self._keep(cached_views) if cached_views else None

    def next(self) -> tuple[list[Tensor], Targets]:
        """One batch: a map per tapped stride of the trunk, and the targets, on the device of the network."""
        if self._kept is None:
            return self._new()
        maps, targets = self._kept
        size = min(self._batch_size, len(maps[0]))
        chosen = torch.from_numpy(self._random.choice(len(maps[0]), size, replace=False)).to(maps[0].device)
        return [x[chosen] for x in maps], {name: target[chosen] for name, target in targets.items()}

    def _new(self) -> tuple[list[Tensor], Targets]:
        x_NCHW, targets = self._draw()
        device = self._network.mean.device
        return self._network.features(x_NCHW.to(device)), {name: target.to(device) for name, target in targets.items()}

    @torch.no_grad()
    def _keep(self, count: int) -> tuple[list[Tensor], Targets]:
        batches = [self._new() for _ in range(-(-count // self._batch_size))]
        maps = [torch.cat(same_stride)[:count] for same_stride in zip(*(maps for maps, _ in batches))]
        return maps, {name: torch.cat([targets[name] for _, targets in batches])[:count] for name in batches[0][1]}
