"""What a thing of the synthetic world looks like: an outline and a pattern, both functions of its own coordinates.

u runs along a thing from its tail (-1) to its nose (+1), v across it from -1 to +1; arrays are (H, W).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["OUTLINES", "PATTERNS", "Colour", "Look", "appearance"]

Grid = NDArray[np.float64]
Mask = NDArray[np.bool_]
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a thing looks.

    class_name: what a person would call it; None for a look-alike, which nobody labels.
    aspect: width across over length along.
    colours: sRGB 0..255; the pattern says where the second one goes.
    """

    class_name: str | None
    outline: str
    pattern: str
    colours: tuple[Colour, Colour]
    aspect: float = 1.0


def appearance(look: Look, u_HW: Grid, v_HW: Grid) -> tuple[Grid, Mask]:
    """The colour (H, W, 3) in 0..255 at each point of a thing, and whether the point is inside its outline."""
    inside_HW = OUTLINES[look.outline](u_HW, v_HW)
    second_HW = PATTERNS[look.pattern](u_HW, v_HW)
    first, second = (np.asarray(colour, dtype=np.float64) for colour in look.colours)
    return np.where(second_HW[..., None], second, first), inside_HW


def _hull(u: Grid, v: Grid) -> Mask:
    mask: Mask = (np.abs(u) <= 1) & (np.abs(v) <= np.clip(1.6 * (1 - u), 0, 1))
    return mask


def _beetle(u: Grid, v: Grid) -> Mask:
    body = ((u + 0.25) / 0.75) ** 2 + v**2 <= 1
    head = ((u - 0.65) / 0.35) ** 2 + (v / 0.5) ** 2 <= 1
    mask: Mask = body | head
    return mask


def _flower(u: Grid, v: Grid) -> Mask:
    mask: Mask = np.hypot(u, v) <= 0.78 + 0.22 * np.cos(5 * np.arctan2(v, u))
    return mask


def _spots(u: Grid, v: Grid) -> Mask:
    mask: Mask = ((1.6 * u) % 1 - 0.5) ** 2 + ((1.6 * v) % 1 - 0.5) ** 2 < 0.1
    return mask


OUTLINES: Mapping[str, Callable[[Grid, Grid], Mask]] = {
    "beetle": _beetle,
    "box": lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= 1,
    "flower": _flower,
    "hull": _hull,
    "pill": lambda u, v: u**4 + v**4 <= 1,
}

PATTERNS: Mapping[str, Callable[[Grid, Grid], Mask]] = {
    "cabin": lambda u, v: (np.abs(u - 0.1) < 0.4) & (np.abs(v) < 0.72),
    "checks": lambda u, v: (np.floor(2 * u) + np.floor(2 * v)) % 2 == 0,
    "lengthwise": lambda u, v: np.abs(v) < 0.3,
    "ridge": lambda u, v: v > 0,
    "rings": lambda u, v: np.floor(4 * np.hypot(u, v)) % 2 == 1,
    "spots": _spots,
    "stripes": lambda u, v: np.floor(2.5 * u + 0.5) % 2 == 0,
}
