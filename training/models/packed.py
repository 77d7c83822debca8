"""Convolutions whose weights lie as oneDNN wants them on this CPU, and that apply the ReLU behind them in the same pass.

torch's own convolution brings its weights into that order anew for every batch: a quarter of a MobileNetV2's time. In bfloat16
they stay as they are: what is in order for one size of a batch is slower than that for another.
"""

import time
from functools import cache

import torch
from torch import Tensor, nn

__all__ = ["PackedConv2d", "can_pack", "pack", "stays_in_order"]


class PackedConv2d(nn.Module):
    """What a convolution gives and then an activation, if one is named; for inference on a CPU.

    What was hooked before the convolution still comes before it.
    Its tensors are in no state dict: the order they are in is this machine's.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module | None = None) -> None:
        super().__init__()
        numbers = [list(some) for some in (convolution.padding, convolution.stride, convolution.dilation)]
        kernels = convolution.weight.detach()
        if kernels.dtype == torch.float32:
            kernels = torch.ops.mkldnn._reorder_convolution_weight.default(kernels, *numbers, convolution.groups, None)
        self.register_buffer("weight", kernels, persistent=False)
        self.register_buffer("bias", None if convolution.bias is None else convolution.bias.detach(), persistent=False)
        self._how = (*numbers, convolution.groups, *_fusion(activation), "")
        self._forward_pre_hooks.update(convolution._forward_pre_hooks)
        self._convolve = torch.ops.mkldnn._convolution_pointwise.default

    def forward(self, x_NChw: Tensor) -> Tensor:
        output_NChw: Tensor = self._convolve(x_NChw, self.weight, self.bias, *self._how)
        return output_NChw


@torch.inference_mode()
def pack(trunk: nn.Module, dtype: torch.dtype) -> None:
    """Put packed convolutions in the places of those of this type; where a ReLU follows in a sequence, nothing in its place."""
    for parent in list(trunk.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is not nn.Conv2d or child.weight.dtype != dtype:
                continue
            if child.padding_mode == "zeros" and not isinstance(child.padding, str):
                after = _activation_after(parent, name)
                parent.add_module(name, PackedConv2d(child, None if after is None else parent.get_submodule(after)))
                if after is not None:
                    parent.add_module(after, nn.Identity())


@cache
@torch.inference_mode()
def can_pack(device: str, dtype: torch.dtype) -> bool:
    """Whether torch has such convolutions here, and they say what its own say; asked once in a process."""
    if device != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    with torch.random.fork_rng(devices=[]):
        convolution, x_NCHW = nn.Conv2d(3, 4, 3), torch.linspace(-9, 9, 192).view(1, 3, 8, 8)
    wanted, atol = convolution(x_NCHW).clamp(0, 6), 1e-4 if dtype == torch.float32 else 0.1
    try:
        said = PackedConv2d(convolution.to(dtype), nn.ReLU6())(x_NCHW.to(dtype))
        return torch.allclose(said.float(), wanted, atol=atol)
    except (AttributeError, RuntimeError):  # a torch without oneDNN, or with another idea of these operators
        return False


@cache
@torch.inference_mode()
def stays_in_order() -> bool:
    """Whether float32 weights are used in the order that they are brought into before there is a picture; `can_pack` is known.

    Where oneDNN wants another one for the picture, as with AVX2, they go from order to order at every pass, which takes fifty
    times as long as the convolution: that is measured, once in a process.
    """
    with torch.random.fork_rng(devices=[]):
        convolution, x_NChw = nn.Conv2d(960, 160, 1), torch.zeros(1, 960, 5, 9).contiguous(memory_format=torch.channels_last)
    return _fastest(PackedConv2d(convolution), x_NChw) < 5 * _fastest(convolution, x_NChw)


def _fastest(module: nn.Module, x_NChw: Tensor) -> float:
    """Seconds, of several times."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        module(x_NChw)
        times.append(time.perf_counter() - started)
    return min(times)


def _activation_after(parent: nn.Module, name: str) -> str | None:
    """The child that follows in a sequence, folded norms aside, if it is a ReLU that can be applied in the convolution."""
    children = list(parent.named_children()) if isinstance(parent, nn.Sequential) else []
    places = [place for place, _ in children]
    following = children[places.index(name) + 1 :] if children else []
    first = next(((place, child) for place, child in following if not isinstance(child, nn.Identity)), None)
    return first[0] if first is not None and isinstance(first[1], nn.ReLU | nn.ReLU6) else None


def _fusion(activation: nn.Module | None) -> tuple[str, list[float]]:
    """oneDNN's name of what is done to a sum, and its numbers."""
    if activation is None:
        return "none", []
    return ("hardtanh", [0.0, 6.0]) if isinstance(activation, nn.ReLU6) else ("relu", [])
