"""Convolutions that apply the ReLU behind them in the same pass, with their weights as oneDNN wants them where that can be known.

torch's own convolution brings its weights into oneDNN's order anew for every batch: a quarter of a MobileNetV2's time. Where the
order depends on the size of the batch they are left as they are: in bfloat16, and in float32 with AVX2.
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

    ordered: whether to bring the weights into oneDNN's order now. Where they are not, a single float32 picture goes through
        torch's own convolution, which is faster.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module | None = None, *, ordered: bool) -> None:
        super().__init__()
        numbers = convolution.padding, convolution.stride, convolution.dilation
        self._padding, self._stride, self._dilation = ([int(number) for number in some] for some in numbers)
        self._groups = convolution.groups
        kernels, how = convolution.weight.detach(), (self._padding, self._stride, self._dilation, self._groups)
        if ordered:
            kernels = torch.ops.mkldnn._reorder_convolution_weight.default(kernels, *how, None)
        self.register_buffer("weight", kernels, persistent=False)
        self.register_buffer("bias", None if convolution.bias is None else convolution.bias.detach(), persistent=False)
        self.activation = activation
        self._how = (*how, *_fusion(activation), "")
        self._alone = kernels.dtype == torch.float32 and not ordered
        self._forward_pre_hooks.update(convolution._forward_pre_hooks)
        self._convolve = torch.ops.mkldnn._convolution_pointwise.default

    def forward(self, x_NChw: Tensor) -> Tensor:
        output_NChw: Tensor
        if self._alone and len(x_NChw) == 1:
            output_NChw = torch.conv2d(x_NChw, self.weight, self.bias, self._stride, self._padding, self._dilation, self._groups)
            return output_NChw if self.activation is None else self.activation(output_NChw)
        output_NChw = self._convolve(x_NChw, self.weight, self.bias, *self._how)
        return output_NChw


@torch.inference_mode()
def pack(trunk: nn.Module, dtype: torch.dtype) -> None:
    """Put packed convolutions in the places of those of this type; where a ReLU follows in a sequence, nothing in its place."""
    ordered = stays_in_order(dtype)
    for parent in list(trunk.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is not nn.Conv2d or child.weight.dtype != dtype:
                continue
            if child.padding_mode == "zeros" and not isinstance(child.padding, str):
                after = _activation_after(parent, name)
                activation = None if after is None else parent.get_submodule(after)
                parent.add_module(name, PackedConv2d(child, activation, ordered=ordered))
                if after is not None:
                    parent.add_module(after, nn.Identity())


@cache
@torch.inference_mode()
def can_pack(device: str, dtype: torch.dtype) -> bool:
    """Whether torch has such convolutions here, and they say what its own say; asked once in a process."""
    if device != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    with torch.random.fork_rng(devices=[]):
        convolution, x_NCHW = nn.Conv2d(3, 4, 3), torch.linspace(-9, 9, 384).view(2, 3, 8, 8)
    wanted, atol = convolution(x_NCHW).clamp(0, 6), 1e-4 if dtype == torch.float32 else 0.1
    convolution.to(dtype)
    try:
        said = [PackedConv2d(convolution, nn.ReLU6(), ordered=one)(x_NCHW.to(dtype)) for one in (False, dtype == torch.float32)]
        return all(torch.allclose(one.float(), wanted, atol=atol) for one in said)
    except (AttributeError, RuntimeError):  # a torch without oneDNN, or with another idea of these operators
        return False


@cache
@torch.inference_mode()
def stays_in_order(dtype: torch.dtype) -> bool:
    """Whether weights of this type are used in the order that they are brought into before there is a picture.

    Where oneDNN wants another one for the picture, as with AVX2, they go from order to order at every pass, which takes fifty
    times as long as the convolution: that is measured here, once in a process, of a type that `can_pack`.
    """
    if dtype != torch.float32:
        return False
    with torch.random.fork_rng(devices=[]):
        convolution, x_NChw = nn.Conv2d(960, 160, 1), torch.zeros(1, 960, 5, 9).contiguous(memory_format=torch.channels_last)
    return _fastest(PackedConv2d(convolution, ordered=True), x_NChw) < 5 * _fastest(convolution, x_NChw)


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
