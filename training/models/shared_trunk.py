"""A trunk that many micro-models see through: its convolutions are there once, and pictures of all of them are one batch.

N pictures, S channels of all norms together.
"""

import threading
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from training.errors import CorruptModel
from training.models.backbones import num_before_taps, trunk_skeleton
from training.models.mixed_precision import lower
from training.models.packed import can_pack, pack, stays_in_order
from training.models.skeletons import (
    NORM_FIELDS,
    Norm,
    check_shapes,
    folded_trunk,
    num_bytes,
    on_device,
    trunk_norms,
    trunk_shapes,
    twin,
)

__all__ = ["SeenThrough", "SharedTrunk"]


class SharedTrunk:
    """The trunk of one base, ready on a device; safe to use from many threads.

    own_norms: whether each micro-model has norms of its own; else the base's are folded into the convolutions.
    dtype: what it computes in; its maps are of the pictures' type.
    """

    def __init__(
        self,
        backbone: str,
        tensors: Mapping[str, Tensor],
        *,
        own_norms: bool,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Raises CorruptModel: these are not the tensors of such a trunk."""
        skeleton = trunk_skeleton(backbone)
        self.own_norms, self.device, self.dtype = own_norms, device, dtype
        self.strides, self.channels = skeleton.strides, skeleton.channels
        if own_norms:
            check_shapes(tensors, trunk_shapes(backbone, len(skeleton.stages)))
            trunk = twin(skeleton, on_device(tensors, device))
            lower(trunk, backbone, dtype)
        else:
            trunk = folded_trunk(backbone, tensors, len(skeleton.stages), device, dtype)
        norms = trunk_norms(backbone) if own_norms else ()
        self._rows = _Rows()
        for index, norm in enumerate(norms):
            trunk.set_submodule(norm.name, _RowNorm(self._rows, index, in_place=norm.convolution is not None))
        self._usual = {f"{norm.name}.{field}": tensors[f"{norm.name}.{field}"] for norm in norms for field in NORM_FIELDS}
        self._num_exact = num_before_taps(backbone)
        self._norms: dict[int | None, tuple[Norm, ...]] = {None: norms}
        for stride in self.strides:
            self._norms[stride] = tuple(norm for norm in norms if norm.stage < skeleton.num_stages(stride))
        self.num_bytes = num_bytes(trunk)
        if not own_norms and dtype == torch.float32 and can_pack(device.type, dtype) and stays_in_order():
            pack(trunk, dtype)
        self._until: dict[int | None, nn.Module] = {None: trunk, **{stride: trunk.until(stride)[0] for stride in self.strides}}

    def norms(self, own: Mapping[str, Tensor], stride: int | None) -> Tensor:
        """(2, 1, S, 1, 1): scale and shift of every channel that a norm has on the way to this stride's map, or to all maps.

        Args:
            own: tensors of norms that are not the base's, by their names in the trunk; others are not looked at.
        Raises:
            CorruptModel: one of another shape than the base's.
        """
        for name, usual in self._usual.items():
            if name in own and own[name].shape != usual.shape:
                raise CorruptModel(f"tensor {name}: found {tuple(own[name].shape)}, needed {tuple(usual.shape)}")
        norms, tensors = self._norms[stride], {**self._usual, **own}
        weight_S, bias_S, mean_S, var_S = (torch.cat([tensors[f"{n.name}.{field}"] for n in norms]) for field in NORM_FIELDS)
        eps_S = torch.cat([torch.full((norm.channels,), norm.eps) for norm in norms])
        scale_S = weight_S * torch.rsqrt(var_S + eps_S)
        return torch.stack([scale_S, bias_S - mean_S * scale_S]).view(2, 1, -1, 1, 1).to(self.device)

    def maps(self, x_NCHW: Tensor, norms_2NS11: Tensor | None, stride: int | None) -> list[Tensor]:
        """The trunk's map at every stride, or at this one alone, in the pictures' type.

        norms_2NS11: of each picture, or one for all of them; None where the base's are folded in.
        """
        x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)  # as packed convolutions leave it
        if norms_2NS11 is not None:
            self._rows.scales, self._rows.shifts = (self._for_each_norm(one, stride) for one in norms_2NS11)
        maps = self._until[stride](x_NCHW)
        return [one.to(x_NCHW.dtype) for one in (maps if isinstance(maps, list) else [maps])]

    def _for_each_norm(self, rows_NS11: Tensor, stride: int | None) -> tuple[Tensor, ...]:
        norms = self._norms[stride]
        parts = torch.split(rows_NS11, [norm.channels for norm in norms], dim=1)
        exact = [norm.stage < self._num_exact for norm in norms]
        return tuple(part if stays else part.to(self.dtype) for part, stays in zip(parts, exact, strict=True))


class SeenThrough(nn.Module):
    """A shared trunk as one micro-model sees it, or as those of a batch do, picture by picture.

    norms: (2, N, S, 1, 1), or N = 1 for any number of pictures of one micro-model; None: those of the base.
    stride: of the only map that is wanted; None: all of them.
    """

    norms: Tensor | None

    def __init__(self, shared: SharedTrunk, norms: Tensor | None, stride: int | None) -> None:
        super().__init__()
        self.shared, self.stride = shared, stride
        self.strides, self.channels = shared.strides, shared.channels
        self.register_buffer("norms", norms)

    def forward(self, x_NCHW: Tensor) -> list[Tensor] | Tensor:
        maps = self.shared.maps(x_NCHW, self.norms, self.stride)
        return maps if self.stride is None else maps[0]

    @classmethod
    def joined(cls, seen: Sequence["SeenThrough"], counts: Sequence[int]) -> "SeenThrough":
        """For a batch of so many pictures of each, in this order; of one shared trunk and stride."""
        norms = [one.norms.expand(-1, count, -1, -1, -1) for one, count in zip(seen, counts) if one.norms is not None]
        return cls(seen[0].shared, torch.cat(norms, dim=1) if norms else None, seen[0].stride)


class _Rows(threading.local):
    """What the norms of a trunk do to each picture of the pass that this thread is in: (N, C, 1, 1) each."""

    scales: tuple[Tensor, ...] = ()
    shifts: tuple[Tensor, ...] = ()


class _RowNorm(nn.Module):
    """A batch norm whose statistics and weights belong to the picture.

    in_place: what it takes is a convolution's output that nobody else needs: writing over it saves half the time of a pass
        over memory, and a MobileNetV2 has 51 of them.
    """

    def __init__(self, rows: _Rows, index: int, *, in_place: bool) -> None:
        super().__init__()
        self._rows, self._index, self._in_place = rows, index, in_place

    def forward(self, x_NChw: Tensor) -> Tensor:
        scale, shift = self._rows.scales[self._index], self._rows.shifts[self._index]
        return torch.addcmul(shift, x_NChw, scale, out=x_NChw if self._in_place else None)
