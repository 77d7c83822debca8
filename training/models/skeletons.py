"""Networks put around tensors that exist already: nothing is built, drawn or probed twice in a process.

A skeleton is a module of shapes alone, on the meta device. A twin of it has the same parts with tensors in them.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from training.errors import CorruptModel
from training.models.backbones import Trunk, num_before_taps, trunk_skeleton
from training.models.mixed_precision import lower
from training.models.packed import can_pack, pack

__all__ = ["NORM_FIELDS", "Norm", "check_shapes", "folded_trunk", "num_bytes", "on_device", "trunk_norms", "trunk_shapes", "twin"]

M = TypeVar("M", bound=nn.Module)
NORM_FIELDS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A batch norm of a trunk: its name there, its channels, and the convolution whose output it takes, if it does."""

    name: str
    channels: int
    eps: float
    convolution: str | None

    @property
    def stage(self) -> int:
        """Of the trunk's stages."""
        return _stage(self.name)


def twin(skeleton: M, tensors: Mapping[str, Tensor], instead: Mapping[str, nn.Module] | None = None) -> M:
    """The module around these tensors, which are not copied; the skeleton stays as it is.

    Args:
        tensors: by their names in the state dict; a buffer that is not there is the skeleton's.
        instead: modules that take the place of children, by name.
    """
    return _twin(skeleton, tensors, "", instead or {})


def on_device(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """The tensors on the device, four-dimensional ones channels last: a MobileNetV2 answers in 60 % of the time on the CPU."""
    return {name: x.to(device, memory_format=torch.channels_last) if x.ndim == 4 else x.to(device) for name, x in tensors.items()}


def num_bytes(module: nn.Module) -> int:
    """Of its parameters and buffers."""
    return sum(tensor.nbytes for some in (module.parameters(), module.buffers()) for tensor in some)


@cache
@torch.inference_mode(False)  # whoever asks first
def trunk_norms(backbone: str) -> tuple[Norm, ...]:
    """The batch norms of a trunk in the order they are computed in, found by looking at who takes whose output."""
    trunk = copy.deepcopy(trunk_skeleton(backbone))
    names = {module: name for name, module in trunk.named_modules()}
    made: dict[int, tuple[Tensor, int, str]] = {}  # by the id of an output, which is kept so that the id stays its own
    norms: list[Norm] = []

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        made[id(output)] = output, output._version, names[module]

    def find(module: nn.BatchNorm2d, taken: tuple[Tensor]) -> None:
        _, version, name = made.get(id(taken[0]), (None, None, None))
        convolution = name if version == taken[0]._version else None  # else something was done to it in place
        norms.append(Norm(name=names[module], channels=module.num_features, eps=module.eps, convolution=convolution))

    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
        elif isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(find)
    with torch.no_grad():
        trunk(torch.zeros(1, 3, 64, 64, device="meta"))
    return tuple(norms)


def folded_trunk(
    backbone: str, tensors: Mapping[str, Tensor], num_stages: int, device: torch.device, dtype: torch.dtype = torch.float32
) -> Trunk:
    """A trunk ready to answer: norms that follow a convolution are folded into it; same outputs, fewer passes.

    Args:
        tensors: of its first `num_stages` stages, by their names in it.
        dtype: what it computes in, and what its maps are in; packed, if it is bfloat16 on a CPU.
    Raises:
        CorruptModel: one is missing, of another shape, or unknown.
    """
    check_shapes(tensors, trunk_shapes(backbone, num_stages))
    skeleton, norms = _folded_skeleton(backbone, num_stages, device.type, dtype)
    folded = on_device(tensors, device)
    for norm in norms:
        weight, bias, mean, var = (folded.pop(f"{norm.name}.{field}") for field in NORM_FIELDS)
        folded.pop(f"{norm.name}.num_batches_tracked")
        scale = weight * torch.rsqrt(var + norm.eps)
        shift = bias - mean * scale
        before = folded.get(f"{norm.convolution}.bias")
        folded[f"{norm.convolution}.bias"] = shift if before is None else shift + before * scale
        name = f"{norm.convolution}.weight"
        kernels, scale = folded[name], scale.view(-1, 1, 1, 1)
        folded[name] = kernels * scale if kernels is tensors[name] else kernels.mul_(scale)  # a copy was made already
    if dtype == torch.bfloat16:
        first = num_before_taps(backbone)
        folded = {name: x.to(dtype) if x.is_floating_point() and _stage(name) >= first else x for name, x in folded.items()}
    return twin(skeleton, folded)


@cache
def trunk_shapes(backbone: str, num_stages: int) -> dict[str, torch.Size]:
    """Shape of every tensor of a trunk's first stages."""
    return {name: tensor.shape for name, tensor in _first_stages(backbone, num_stages).state_dict().items()}


def check_shapes(tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    """Raises CorruptModel: a tensor is missing, of another shape, or unknown; names the first one."""
    for name, shape in shapes.items():
        if name not in tensors or tensors[name].shape != shape:
            found = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise CorruptModel(f"tensor {name}: found {found}, needed {tuple(shape)}")
    if len(tensors) != len(shapes):
        raise CorruptModel(f"tensor {min(tensors.keys() - shapes.keys())}: needed none of that name")


@cache
def _folded_skeleton(backbone: str, num_stages: int, device: str, dtype: torch.dtype) -> tuple[Trunk, tuple[Norm, ...]]:
    """A trunk without the norms that can be folded, and those norms."""
    trunk = _first_stages(backbone, num_stages)
    inside = {name for name, _ in trunk.named_modules()}
    norms = tuple(norm for norm in trunk_norms(backbone) if norm.name in inside and norm.convolution is not None)
    for norm in norms:
        convolution = trunk.get_submodule(str(norm.convolution))
        convolution.bias = nn.Parameter(torch.empty(norm.channels, device="meta"), requires_grad=False)
        trunk.set_submodule(norm.name, nn.Identity())
    lower(trunk, backbone, dtype)
    if dtype == torch.bfloat16 and can_pack(device, dtype):
        pack(trunk, dtype)  # float32 has to be brought into order, which is worth it for a trunk that is shared
    return trunk, norms


def _stage(name: str) -> int:
    """Of the stages of a trunk, the one that this module or tensor of it is in."""
    return int(name.split(".")[1])


def _first_stages(backbone: str, num_stages: int) -> Trunk:
    trunk = trunk_skeleton(backbone)
    stages = [copy.deepcopy(stage) for stage in list(trunk.stages)[:num_stages]]
    return Trunk(stages, [tap for tap in trunk.taps if tap[2] < num_stages]).eval()


def _twin(skeleton: M, tensors: Mapping[str, Tensor], prefix: str, instead: Mapping[str, nn.Module]) -> M:
    module = skeleton.__new__(type(skeleton))
    module.__dict__.update(
        {name: value.copy() if isinstance(value, dict) else value for name, value in skeleton.__dict__.items()}
    )
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(tensors[f"{prefix}{name}"], requires_grad=False)
    for name, buffer in module._buffers.items():
        module._buffers[name] = tensors.get(f"{prefix}{name}", buffer)
    for name, child in module._modules.items():
        if name in instead:
            module._modules[name] = instead[name]
        elif child is not None:
            module._modules[name] = _twin(child, tensors, f"{prefix}{name}.", {})
    return module
