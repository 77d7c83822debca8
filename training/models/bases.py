"""What a micro-model shares with the trunk it started from, and what is its own."""

from collections.abc import Mapping
from functools import cache, lru_cache

import torch
from torch import Tensor

from training.models.backbones import Backbone, starting_trunk
from training.models.networks import Config, num_stages, of_trunk
from training.models.skeletons import NORM_FIELDS, trunk_norms
from training.store.bases import Base

__all__ = ["own_norms", "own_tensors", "starting_base", "with_base"]

WORTH = 0.5  # of its trunk's bytes a micro-model must share this part, else it is kept whole


@lru_cache(maxsize=1)
def starting_base(backbone: Backbone, seed: int) -> Base:
    """The trunk that every fit of this backbone and seed starts from; the last one asked for stays in memory.

    Raises:
        BadBackbone: the weights cannot be used.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk, _ = starting_trunk(backbone)
    return Base.of(backbone.name, {name: tensor.detach().contiguous() for name, tensor in trunk.state_dict().items()})


def own_tensors(config: Config, tensors: Mapping[str, Tensor], base: Base) -> dict[str, Tensor] | None:
    """A network's tensors without those that are the base's, bit by bit; None where they share little.

    tensors: on the CPU.
    """
    inside, own = of_trunk(config, tensors)
    changed = {name: tensor for name, tensor in inside.items() if not _same(tensor, base.tensors.get(name))}
    if _num_bytes(changed) > (1 - WORTH) * _num_bytes(inside):
        return None
    return {**own, **_named(config, changed)}


def with_base(config: Config, own: Mapping[str, Tensor], base: Base) -> dict[str, Tensor]:
    """All tensors of a network, from its own and those of the base that it shares."""
    stages = num_stages(config)
    shared = {name: tensor for name, tensor in base.tensors.items() if int(name.split(".")[1]) < stages}
    return {**_named(config, shared), **own}


def own_norms(config: Config, own: Mapping[str, Tensor]) -> bool | None:
    """Whether a network differs from its base in the norms of its trunk; None: in more than those."""
    inside, _ = of_trunk(config, own)
    return bool(inside) if inside.keys() <= _of_norms(config.backbone) else None


@cache
def _of_norms(backbone: str) -> frozenset[str]:
    fields = (*NORM_FIELDS, "num_batches_tracked")
    return frozenset(f"{norm.name}.{field}" for norm in trunk_norms(backbone) for field in fields)


def _named(config: Config, inside: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = config.trunk_prefix
    return {f"{prefix}{name}": tensor for name, tensor in inside.items()}


def _same(one: Tensor, other: Tensor | None) -> bool:
    """Bit by bit: 0 is not -0, and NaN is NaN."""
    if other is None or (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


def _num_bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())
