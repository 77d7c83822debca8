"""The two kinds of networks a micro-model may have, and which of them a card describes."""

from collections.abc import Mapping
from typing import Any

from training.models.backbones import empty_trunk
from training.models.grid import GridConfig, GridNetwork
from training.models.network import DenseConfig, DenseNetwork

__all__ = ["Network", "empty_network"]

Network = DenseNetwork | GridNetwork


def empty_network(document: Mapping[str, Any]) -> Network:
    """The network whose config wrote this with to_json(), with random weights."""
    values = dict(document)
    if values.pop("kind") == GridConfig.kind:
        grid = GridConfig(**{**values, "typical_hw": tuple(values["typical_hw"])})
        return GridNetwork(empty_trunk(grid.backbone), grid)
    dense = DenseConfig(**values)
    return DenseNetwork(empty_trunk(dense.backbone), dense)
