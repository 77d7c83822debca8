"""Painting things onto a picture while keeping the books: which pixel shows which thing, how much of each is seen."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.data.world.looks import Look, appearance

__all__ = ["Canvas", "Pose", "Thing"]

SEEN_ENOUGH = 0.3  # a person labels a thing when at least this share of it can be seen
_SUBPIXELS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Where a thing is: centre in pixels of the picture, length in pixels, angle in radians (0 = nose to the right)."""

    x: float
    y: float
    length: float
    angle: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """A look in a place; `number` tells it from the others for as long as the world exists."""

    number: int
    look: Look
    pose: Pose


@dataclass(slots=True)
class Canvas:
    """A picture being painted, back to front.

    picture_HW3: float64 RGB, 0..255.  owner_HW: number of the thing seen at a pixel, -1 where it is the ground.
    """

    picture_HW3: NDArray[np.float64]
    owner_HW: NDArray[np.int32] = field(init=False)
    things: list[tuple[Thing, int]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.owner_HW = np.full(self.picture_HW3.shape[:2], -1, dtype=np.int32)

    def paint(self, thing: Thing) -> None:
        """Paint over what is there; parts outside the picture count as hidden."""
        pose, (height, width) = thing.pose, self.owner_HW.shape
        reach = int(np.ceil(0.5 * pose.length * np.hypot(1, thing.look.aspect))) + 1
        left, top = int(np.floor(pose.x)) - reach, int(np.floor(pose.y)) - reach
        colour_HW3, cover_HW = _render(thing, left, top, 2 * reach + 1)
        self.things.append((thing, int((cover_HW >= 0.5).sum())))
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + 2 * reach + 1, width), min(top + 2 * reach + 1, height)
        if x1 >= x2 or y1 >= y2:
            return
        here, there = (slice(y1, y2), slice(x1, x2)), (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
        cover = cover_HW[there][..., None]
        self.picture_HW3[here] = self.picture_HW3[here] * (1 - cover) + colour_HW3[there]
        self.owner_HW[here][cover_HW[there] >= 0.5] = thing.number

    def mask(self, number: int) -> NDArray[np.bool_]:
        """The pixels (H, W) where that thing is seen."""
        seen: NDArray[np.bool_] = self.owner_HW == number
        return seen

    def labels(self) -> list[tuple[Thing, tuple[int, int, int, int], int]]:
        """What a careful person would label: thing, tight box xyxy in pixels around its visible part, visible pixels.

        Look-alikes are left out, and so are things of which less than SEEN_ENOUGH is visible.
        """
        found = []
        for thing, whole in self.things:
            mask = self.mask(thing.number)
            seen = int(mask.sum())
            if thing.look.class_name is None or seen < max(1.0, SEEN_ENOUGH * whole):
                continue
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
            found.append((thing, box, seen))
        return found


def _render(thing: Thing, left: int, top: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Colour times cover (size, size, 3) and cover (size, size) in 0..1 of the square at (left, top)."""
    pose, n = thing.pose, _SUBPIXELS
    steps = (np.arange(size * n) + 0.5) / n
    dx_HW, dy_HW = np.meshgrid(left + steps - pose.x, top + steps - pose.y)
    cos, sin, half = np.cos(pose.angle), np.sin(pose.angle), 0.5 * pose.length
    u_HW, v_HW = (cos * dx_HW + sin * dy_HW) / half, (cos * dy_HW - sin * dx_HW) / (half * thing.look.aspect)
    colour_HW3, inside_HW = appearance(thing.look, u_HW, v_HW)
    colour = (colour_HW3 * inside_HW[..., None]).reshape(size, n, size, n, 3).mean(axis=(1, 3))
    return colour, inside_HW.reshape(size, n, size, n).mean(axis=(1, 3), dtype=np.float64)
