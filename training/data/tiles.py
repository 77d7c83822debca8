"""Which tiles of a scene a point or a rectangle lies in."""

import math

from training.data.shards import SceneGrid

__all__ = ["tiles_at", "tiles_touching"]


def tiles_at(grid: SceneGrid, x: float, y: float) -> list[int]:
    """Frame indices of the tiles that hold the point (scene pixels): one, more where tiles overlap, none in a gap."""
    columns = _steps_at(x, grid.columns, grid)
    return [row * grid.columns + column for row in _steps_at(y, grid.rows, grid) for column in columns]


def tiles_touching(grid: SceneGrid, x1: float, y1: float, x2: float, y2: float) -> list[int]:
    """Frame indices of the tiles that share area with the rectangle (scene pixels)."""
    columns = _steps_touching(x1, x2, grid.columns, grid)
    return [row * grid.columns + column for row in _steps_touching(y1, y2, grid.rows, grid) for column in columns]


def _steps_at(position: float, num_steps: int, grid: SceneGrid) -> range:
    first = math.floor((position - grid.tile) / grid.stride) + 1
    return range(max(0, first), min(num_steps, math.floor(position / grid.stride) + 1))


def _steps_touching(low: float, high: float, num_steps: int, grid: SceneGrid) -> range:
    first = math.floor((low - grid.tile) / grid.stride) + 1
    return range(max(0, first), min(num_steps, math.ceil(high / grid.stride)))
