"""What a step of fitting learns from: feature maps of augmented views, and what the heads should say about them.

M fits, N pictures of each in a batch.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from training.learning.stack import Stack

__all__ = ["Batches"]

Targets = dict[str, Tensor]


class Batches:
    """Feature maps of new views at every draw, or of a fixed set of views whose maps are computed once and kept.

    Kept maps need trunks that do not change. They take `cached_views` times the bytes of one view's maps: 0.6 MB
    for 60,000 input pixels of a MobileNetV2.
    """

    def __init__(
        self,
        stack: Stack,
        draw: Callable[[], tuple[Tensor, Targets]],
        randoms: Sequence[np.random.Generator],
        *,
        cached_views: int,
        batch_size: int,
    ) -> None:
        """draw: new pictures (M, N, 3, H, W) and their targets. randoms: of each fit, what chooses among kept maps."""
        self._stack, self._draw, self._randoms, self._batch_size = stack, draw, randoms, batch_size
        self._kept = self._keep(cached_views) if cached_views else None

    def next(self) -> tuple[list[Tensor], Targets]:
        """One batch: a map per tapped stride of the trunks, and the targets, (M, N, …) each, on the device of the stack."""
        if self._kept is None:
            return self._new()
        maps, targets = self._kept
        count = maps[0].shape[1]
        size = min(self._batch_size, count)
        chosen = np.stack([random.choice(count, size, replace=False) for random in self._randoms])
        chosen_MN = torch.from_numpy(chosen).to(self._stack.device)
        fit_M1 = torch.arange(len(self._randoms), device=self._stack.device)[:, None]
        return [x[fit_M1, chosen_MN] for x in maps], {name: x[fit_M1, chosen_MN] for name, x in targets.items()}

    def _new(self) -> tuple[list[Tensor], Targets]:
        x_MN3HW, targets = self._draw()
        return self._stack.features(x_MN3HW), targets

    @torch.no_grad()
    def _keep(self, count: int) -> tuple[list[Tensor], Targets]:
        batches = [self._new() for _ in range(-(-count // self._batch_size))]
        maps = [torch.cat(same_stride, dim=1)[:, :count] for same_stride in zip(*(maps for maps, _ in batches))]
        return maps, {name: torch.cat([t[name] for _, t in batches], dim=1)[:, :count] for name in batches[0][1]}
