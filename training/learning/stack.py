"""Networks of one shape that compute together: what differs between them is stacked, what they share is there once.

M networks, N pictures each, C channels, H x W input pixels, h x w cells of a map.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from training.learning.stacked_layers import for_stacking
from training.models.network import DenseNetwork

__all__ = ["Stack"]


class Stack:
    """M networks as one. What is learned is kept here until `unstack` writes it into them.

    A convolution of the same weights in all networks sees the pictures of all as one batch; where the weights differ it
    is one grouped convolution or a batched product (torch.func.vmap). A stack of one network computes what the network itself
    would.
    """

    def __init__(self, networks: Sequence[DenseNetwork]) -> None:
        """networks: of one shape, on one device, in one mode, with the same tensors requiring gradients."""
        self._networks = tuple(networks)
        states = [_state(network) for network in networks]
        same = _same(states)
        self._own = {
            name: torch.stack([state[name].detach() for state in states]).requires_grad_(tensor.requires_grad)
            for name, tensor in states[0].items()
            if tensor.requires_grad or _counts(networks[0], name) or name not in same
        }
        self._called = _Called(networks[0] if len(networks) == 1 else for_stacking(networks[0], self._own))

    def __len__(self) -> int:
        return len(self._networks)

    @property
    def device(self) -> torch.device:
        return self._networks[0].mean.device

    @property
    def dtype(self) -> torch.dtype:
        return self._networks[0].mean.dtype

    def learned(self) -> dict[str, Tensor]:
        """(M, …) each: the parameters that gradients flow into, by their name in a network."""
        return {name: tensor for name, tensor in self._own.items() if tensor.requires_grad}

    def features(self, x_MN3HW: Tensor) -> list[Tensor]:
        """The trunks' maps, one per tapped stride: (M, N, C, h, w)."""
        maps: list[Tensor] = self._each("features", x_MN3HW)
        return maps

    def answer(self, maps: list[Tensor]) -> dict[str, Tensor]:
        """What the heads say: branch name -> (M, N, C, h, w)."""
        answers: dict[str, Tensor] = self._each("answer", maps)
        return answers

    @torch.no_grad()
    def unstack(self) -> None:
        """Write what the networks do not share into each of them."""
        for index, network in enumerate(self._networks):
            state = _state(network)
            for name, tensor in self._own.items():
                state[name].copy_(tensor[index])

    def _each(self, method: str, given: Any) -> Any:
        def one(own: dict[str, Tensor], given: Any) -> Any:
            return functional_call(self._called, {f"network.{name}": tensor for name, tensor in own.items()}, (method, given))

        return vmap(one)(self._own, given) if len(self) > 1 else self._only(one, given)

    def _only(self, one: Callable[..., Any], given: Any) -> Any:
        given = given[0] if isinstance(given, Tensor) else [x[0] for x in given]
        said = one({name: tensor.squeeze(0) for name, tensor in self._own.items()}, given)
        return {name: x[None] for name, x in said.items()} if isinstance(said, dict) else [x[None] for x in said]


class _Called(nn.Module):
    """Lets functional_call reach other methods than forward."""

    def __init__(self, network: DenseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, method: str, given: Any) -> Any:
        return getattr(self.network, method)(given)


def _state(network: DenseNetwork) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _same(states: Sequence[dict[str, Tensor]]) -> set[str]:
    """Names of tensors that are equal in all; the device is asked once, not for each of them."""
    if len(states) == 1:
        return set(states[0])
    names = list(states[0])
    equal = [(torch.stack([state[name] for state in states[1:]]) == states[0][name]).all() for name in names]
    return {name for name, is_equal in zip(names, torch.stack(equal).tolist(), strict=True) if is_equal}


def _counts(network: DenseNetwork, name: str) -> bool:
    """Whether the tensor is a statistic that its norm changes at every step."""
    module = network.get_submodule(name.rpartition(".")[0])
    return isinstance(module, nn.BatchNorm2d) and module.training and name.rpartition(".")[2] in dict(module.named_buffers())
