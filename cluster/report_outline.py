"""The outline of a mask as an SVG path along the edges of its pixels: sharp at any size, and small for smooth masks."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["outline"]

Corner = tuple[int, int]  # x, y


def outline(mask_HW: NDArray[np.bool_], *, left: int = 0, top: int = 0) -> str:
    """Closed loops around every part of the mask and around every hole in it; to be filled by the even-odd rule.

    left, top: pixels of the picture where a mask of a part of it begins.
    """
    ahead = _edges(mask_HW)
    loops: list[str] = []
    while ahead:
        start = next(iter(ahead))
        corners = [start]
        while (here := _step(ahead, corners[-1])) != start:
            corners.append(here)
        loops.append(_path(corners, left, top))
    return "".join(loops)


def _edges(mask_HW: NDArray[np.bool_]) -> dict[Corner, list[Corner]]:
    """From every corner of the pixels' grid to the next ones, with the mask on the right hand."""
    padded = np.pad(mask_HW, 1)
    inside = padded[1:-1, 1:-1]
    # where the neighbour on that side is not in the mask: the edge from corner (x, y) by `first` to that by `second`
    sides = (
        (inside & ~padded[:-2, 1:-1], (0, 0), (1, 0)),
        (inside & ~padded[1:-1, 2:], (1, 0), (1, 1)),
        (inside & ~padded[2:, 1:-1], (1, 1), (0, 1)),
        (inside & ~padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    ahead: dict[Corner, list[Corner]] = defaultdict(list)
    for there_HW, (x1, y1), (x2, y2) in sides:
        for y, x in np.argwhere(there_HW).tolist():
            ahead[x + x1, y + y1].append((x + x2, y + y2))
    return ahead


def _step(ahead: dict[Corner, list[Corner]], corner: Corner) -> Corner:
    following = ahead[corner].pop()
    if not ahead[corner]:
        del ahead[corner]
    return following


def _path(corners: list[Corner], left: int, top: int) -> str:
    """Straight runs joined: 'M5 5h10v10h-10z'."""
    turns = [
        corner
        for before, corner, after in zip([corners[-1], *corners[:-1]], corners, [*corners[1:], corners[0]], strict=True)
        if not before[0] == corner[0] == after[0] and not before[1] == corner[1] == after[1]
    ]
    steps = ((b[0] - a[0], b[1] - a[1]) for a, b in pairwise(turns))
    return f"M{turns[0][0] + left} {turns[0][1] + top}" + "".join(f"h{dx}" if dx else f"v{dy}" for dx, dy in steps) + "z"
