"""The ground of the synthetic world: smooth noise of several sizes, coloured, and a window that moves over it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.world.looks import Colour

__all__ = ["draw_ground", "look_at", "smooth_noise"]

Picture = NDArray[np.float64]


def smooth_noise(rng: np.random.Generator, height: int, width: int, cells: Sequence[int]) -> NDArray[np.float64]:
    """(height, width) in 0..1: random grids with cells of those many pixels, each drawn between its points, added up.

    Finer grids weigh less, in proportion to their cell.
    """
    total = np.zeros((height, width))
    for cell in cells:
        rows, columns = height // cell + 2, width // cell + 2
        total += cell**0.7 * _stretch(rng.random((rows, columns)), height, width, cell)
    lowest, highest = total.min(), total.max()
    scaled: NDArray[np.float64] = (total - lowest) / (highest - lowest)
    return scaled


def draw_ground(rng: np.random.Generator, height: int, width: int, colours: Sequence[Colour], cells: Sequence[int]) -> Picture:
    """(height, width, 3) in 0..255: the noise runs through the colours from the first to the last, grain on top."""
    noise = smooth_noise(rng, height, width, cells)
    stops, table = np.linspace(0, 1, len(colours)), np.asarray(colours, dtype=np.float64)
    ground: Picture = np.stack([np.interp(noise, stops, table[:, channel]) for channel in range(3)], axis=-1)
    ground += rng.normal(0, 4, (height, width, 1))
    return ground


def look_at(ground_HW3: Picture, left: float, top: float, height: int, width: int) -> Picture:
    """The window of that size whose corner is at (left, top), between the pixels too (bilinear)."""
    column, row = int(np.floor(left)), int(np.floor(top))
    fx, fy = left - column, top - row
    part = ground_HW3[row : row + height + 1, column : column + width + 1]
    across = part[:, :-1] * (1 - fx) + part[:, 1:] * fx
    window: Picture = across[:-1] * (1 - fy) + across[1:] * fy
    return window


def _stretch(grid: NDArray[np.float64], height: int, width: int, cell: int) -> NDArray[np.float64]:
    """Draw a grid out to (height, width), easing in and out of its points so that no lines show."""
    (row, fy), (column, fx) = _between(height, cell), _between(width, cell)
    upper, lower = grid[row], grid[row + 1]
    rows = upper * (1 - fy[:, None]) + lower * fy[:, None]
    drawn: NDArray[np.float64] = rows[:, column] * (1 - fx) + rows[:, column + 1] * fx
    return drawn


def _between(size: int, cell: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    whole, part = np.divmod(np.arange(size), cell)
    share = part / cell
    return whole, share * share * (3 - 2 * share)
