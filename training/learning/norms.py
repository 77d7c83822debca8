"""Batch norms of a trunk while only few pictures of one shard are seen: whose statistics they use."""

import torch
from torch import Tensor, nn

from training.models.networks import Network

__all__ = ["batch_norms", "hold_norms", "settle_norms"]


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    return [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]


def hold_norms(trunk: nn.Module) -> None:
    """Keep the statistics as they are: six pictures of one video are no sample of the world."""
    for norm in batch_norms(trunk):
        norm.eval()


@torch.no_grad()
def settle_norms(network: Network, x_NCHW: Tensor) -> None:
    """Take the statistics of these pictures: random weights have none, and without them their maps vanish or explode."""
    norms = batch_norms(network)
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    network.features(x_NCHW)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
