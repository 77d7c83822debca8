"""The two kinds of networks a micro-model may have, and how one that was published is put together."""

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from training.models.backbones import trunk_skeleton
from training.models.grid import GridConfig, GridNetwork
from training.models.network import IMAGENET_MEAN, IMAGENET_STD, DenseConfig, DenseNetwork, per_channel
from training.models.shared_trunk import SeenThrough, SharedTrunk
from training.models.skeletons import check_shapes, folded_trunk, on_device, twin

__all__ = ["Config", "Network", "config_of", "num_stages", "of_trunk", "ready_network"]

Config = DenseConfig | GridConfig
Network = DenseNetwork | GridNetwork


def config_of(document: Mapping[str, Any]) -> Config:
    """The config that wrote this with to_json(); it may hold more."""
    kind = GridConfig if document["kind"] == GridConfig.kind else DenseConfig
    values = {one.name: document[one.name] for one in fields(kind) if one.name in document}
    if kind is GridConfig:
        values["typical_hw"] = tuple(values["typical_hw"])
    return kind(**values)


def of_trunk(config: Config, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Those of a network's tensors that its trunk has, by their names there, and the others."""
    prefix = config.trunk_prefix
    inside = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}stages.")}
    others = {name: tensor for name, tensor in tensors.items() if name not in inside}
    return {name.removeprefix(prefix): tensor for name, tensor in inside.items()}, others


def ready_network(
    config: Config, tensors: Mapping[str, Tensor], *, shared: SharedTrunk | None, device: torch.device, dtype: torch.dtype
) -> Network:
    """The network of a published micro-model, ready to answer on the device.

    Args:
        tensors: all of it; with a shared trunk, those that differ from it.
        dtype: what a trunk of its own computes in.
    Raises:
        CorruptModel: a tensor is missing, of another shape, or unknown.
    """
    inside, others = of_trunk(config, tensors)
    skeleton, shapes = _skeleton(json.dumps({**config.to_json(), "scale": 1.0}), device)
    check_shapes(others, shapes)
    stride = config.output_stride if isinstance(config, GridConfig) else None
    seen: torch.nn.Module
    if shared is None:
        trunk = folded_trunk(config.backbone, inside, num_stages(config), device, dtype)
        seen = trunk if stride is None else trunk.until(stride)[0]
    else:
        seen = SeenThrough(shared, shared.norms(inside, stride) if shared.own_norms else None, stride)
    network = twin(skeleton, on_device(others, device), {skeleton.trunk_child: seen})
    network.config = config
    return network


def num_stages(config: Config) -> int:
    """How many stages of its backbone's trunk a network has."""
    trunk = trunk_skeleton(config.backbone)
    return trunk.num_stages(config.output_stride) if isinstance(config, GridConfig) else len(trunk.stages)


@lru_cache(maxsize=256)
def _skeleton(document: str, device: torch.device) -> tuple[Network, dict[str, torch.Size]]:
    """A network of shapes alone, but for its constants, which are on the device; and the shapes of all but its trunk."""
    config = config_of(json.loads(document))
    with torch.device("meta"):
        trunk = trunk_skeleton(config.backbone)
        network = GridNetwork(trunk, config) if isinstance(config, GridConfig) else DenseNetwork(trunk, config)
    shapes = {name: tensor.shape for name, tensor in of_trunk(config, network.state_dict())[1].items()}
    network.mean, network.std = (per_channel(values).to(device) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return network.eval(), shapes
