"""Layers for networks whose tensors differ, computed together under torch.func.vmap: what vmap itself makes slow of them.

N pictures, C channels, h x w cells of a map.
"""

from collections.abc import Collection
from copy import deepcopy

import torch
from torch import Tensor, nn

from training.models.network import DenseNetwork

__all__ = ["for_stacking"]


def for_stacking(network: DenseNetwork, own: Collection[str]) -> DenseNetwork:
    """A copy that says the same, whose tensors have the same names.

    Where they are its own, 1x1 convolutions are batched matrix products instead of one grouped convolution, and norms that are
    held one multiplication with addition; other layers are as they were, depthwise convolutions among them.

    Args:
        own: names of tensors that differ between the networks.
    """
    copied = deepcopy(network)
    for name, module in list(copied.named_modules()):
        if not any(f"{name}.{tensor}" in own for tensor in (*module._parameters, *module._buffers)):
            continue
        if isinstance(module, nn.Conv2d) and _is_pointwise(module):
            copied.set_submodule(name, _Pointwise(module))
        elif isinstance(module, nn.BatchNorm2d) and not module.training:
            copied.set_submodule(name, _HeldNorm(module))
    return copied


class _Pointwise(nn.Module):
    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias
        self._rows, self._columns = convolution.stride

    def forward(self, x_NChw: Tensor) -> Tensor:
        x_NChw = x_NChw[..., :: self._rows, :: self._columns]
        weight_NDC = self.weight.flatten(1).expand(len(x_NChw), -1, -1)
        said_NDhw = torch.bmm(weight_NDC, x_NChw.flatten(2)).unflatten(2, x_NChw.shape[2:])  # type: ignore[no-untyped-call]
        answer: Tensor = said_NDhw if self.bias is None else said_NDhw + self.bias[:, None, None].to(said_NDhw.dtype)
        return answer


class _HeldNorm(nn.Module):
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self._eps = norm.weight, norm.bias, norm.eps
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def forward(self, x_NChw: Tensor) -> Tensor:
        scale_C = self.weight * (self.running_var + self._eps).rsqrt()
        shift_C = self.bias - self.running_mean * scale_C
        return torch.addcmul(shift_C[:, None, None], x_NChw, scale_C[:, None, None]).to(x_NChw.dtype)


def _is_pointwise(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == (1, 1) and layer.groups == 1 and layer.padding == (0, 0)
