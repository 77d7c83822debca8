"""Trunks that compute in bfloat16 where the processor multiplies it fast.

Not all of it: the first stages, where large numbers cancel out, stay in float32, and so does the head, which says where things
are. Of a MobileNetV2 that leaves a quarter to a half of the error, and nearly all that is gained.
"""

from typing import Any

import torch
from torch import Tensor, nn

from training.models.backbones import Trunk, num_before_taps
from training.models.precision import Precision

__all__ = ["lower", "trunk_dtype"]


def trunk_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What a trunk computes in on this device."""
    if precision is Precision.auto:
        able = torch.cpu.get_capabilities() if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities") else {}
        precision = Precision.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else Precision.float32
    return torch.bfloat16 if precision is Precision.bfloat16 else torch.float32


def lower(trunk: Trunk, backbone: str, dtype: torch.dtype) -> None:
    """Let a trunk that answers compute in this type behind its first stages; so are its maps then."""
    if dtype == torch.bfloat16:
        first = num_before_taps(backbone)
        for stage in trunk.stages[first:]:
            stage.to(dtype)
            for module in stage.modules():
                for name, child in module.named_children():
                    if type(child) in _QUICK and child.inplace:
                        module.add_module(name, _QUICK[type(child)]())
        trunk.stages[first].register_forward_pre_hook(_into_bfloat16)


class _QuickReLU(nn.ReLU):
    """Of bfloat16 in place, read as whole numbers: of negative ones these are negative. torch's own takes four times as long."""

    def forward(self, x: Tensor) -> Tensor:
        x.view(torch.int16).clamp_(min=0)
        return x


class _QuickReLU6(nn.ReLU6):
    """The same; whole numbers of positive ones are in the same order, and what is not a number is 6."""

    def forward(self, x: Tensor) -> Tensor:
        x.view(torch.int16).clamp_(0, _SIX)
        return x


_QUICK: dict[type[nn.Module], type[nn.Module]] = {nn.ReLU: _QuickReLU, nn.ReLU6: _QuickReLU6}
_SIX = 0x40C0  # as bfloat16


def _into_bfloat16(_: nn.Module, taken: tuple[Tensor]) -> tuple[Any]:
    return (taken[0].to(torch.bfloat16),)
