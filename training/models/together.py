"""Networks that answer together: what they share is computed once for the pictures of all of them.

N pictures, C channels, H x W input pixels, h x w cells of a map.
"""

from collections.abc import Hashable, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from training.models.network import DenseNetwork
from training.models.networks import Network
from training.models.shared_trunk import SeenThrough

__all__ = ["Together", "pass_of"]


def pass_of(network: Network) -> Hashable:
    """Equal for networks that may answer together; of a network with a trunk of its own, only it itself."""
    seen = _seen(network)
    if isinstance(seen, SeenThrough):
        return type(network), id(seen.shared), seen.stride, network.config.output_stride
    return id(network)


class Together:
    """Networks of one pass, each for so many pictures of a batch, in this order.

    Their heads are applied one after the other: on the CPU one grouped convolution for all of them gains next to nothing, and
    torch.func.vmap loses (docs/experiments.md).
    """

    def __init__(self, networks: Sequence[Network], counts: Sequence[int]) -> None:
        self._networks = tuple(networks)
        self._rows = [slice(*ends) for ends in pairwise(accumulate(counts, initial=0))]
        seen = [one for one in map(_seen, networks) if isinstance(one, SeenThrough)]
        self._joined = SeenThrough.joined(seen, counts) if seen else None
        self.dense = isinstance(networks[0], DenseNetwork)
        self.output_stride = networks[0].config.output_stride

    def __call__(self, x_NCHW: Tensor, places_2hw: Tensor | None = None) -> list[dict[str, Tensor]]:
        """What each network says about its own pictures: branch name -> (n, channels, …).

        places_2hw: as DenseNetwork.forward.
        """
        first = self._networks[0]
        # Plane by plane normalising takes a seventh of the time; channels last a MobileNetV2 takes 60 %; both on the CPU.
        x_NCHW = ((x_NCHW - first.mean) / first.std).contiguous(memory_format=torch.channels_last)
        maps: Any = first.maps(x_NCHW) if self._joined is None else self._joined(x_NCHW)
        return [
            network.answer([one[rows] for one in maps], places_2hw)
            if isinstance(network, DenseNetwork)
            else network.answer(maps[rows])
            for network, rows in zip(self._networks, self._rows, strict=True)
        ]


def _seen(network: Network) -> nn.Module:
    return network.get_submodule(network.trunk_child)
