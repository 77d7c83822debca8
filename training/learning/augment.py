"""Random views of the labelled frames: crops, magnification, shift, mirror, light. Labels follow through the Placements.

V views.
"""

from dataclasses import dataclass, replace
from enum import IntEnum, auto
from math import ceil, hypot

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.learning.recipes import Recipe
from training.models.network import DEEPEST_STRIDE
from training.models.placements import Placements

__all__ = ["Chance", "Scenes", "crop_size", "random_placements", "reach", "relight"]

FOCUSED = 0.7  # share of the crops that are put around an object
ROUNDING = 4  # pixels: of scaled sizes to whole ones, of windows, and what bilinear interpolation touches

Numbers = NDArray[np.float64]


class Chance(IntEnum):
    """What is left to chance in a view: which of its random numbers says it."""

    ZOOM = 0
    MIRROR = auto()
    QUARTER = auto()
    TURN = auto()
    FOCUSED = auto()
    FOCUS = auto()
    SHIFT_X = auto()
    SHIFT_Y = auto()
    JITTER_X = auto()
    JITTER_Y = auto()
    GAIN = auto()
    OFFSET = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenes:
    """What views are of, one frame each.

    frame_V2: width and height, pixels. scale_V: input pixels per frame pixel. turn_V: largest random turn, degrees.
    bounded_V: whether nothing exists beyond the frame.
    focus_X2: x, y of things worth looking at, frame pixels, of which a view has `num_focus_V` from `first_focus_V` on.
    """

    frame_V2: NDArray[np.int64]
    scale_V: Numbers
    turn_V: Numbers
    bounded_V: NDArray[np.bool_]
    focus_X2: Numbers
    first_focus_V: NDArray[np.int64]
    num_focus_V: NDArray[np.int64]


def crop_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """Width and height of training pictures: the whole input if it has at most `max_pixels`, else a piece of that area."""
    w, h = (-(-side // DEEPEST_STRIDE) * DEEPEST_STRIDE for side in (width, height))
    if w * h <= max_pixels:
        return w, h
    side = float(np.sqrt(max_pixels))
    h = min(h, max(DEEPEST_STRIDE, round(side / DEEPEST_STRIDE) * DEEPEST_STRIDE))
    return min(w, max(DEEPEST_STRIDE, int(max_pixels / h) // DEEPEST_STRIDE * DEEPEST_STRIDE)), h


def reach(crop: tuple[int, int], recipe: Recipe) -> int:
    """Pixels of a scaled picture that a view spans at most, however it is turned."""
    return ceil(hypot(*crop) * recipe.zoom) + ROUNDING


def random_placements(chance_VR: Numbers, scenes: Scenes, crop: tuple[int, int], recipe: Recipe) -> Placements:
    """Where V training pictures look.

    Args:
        chance_VR: 0..1, a column for each Chance.
        crop: width, height in input pixels.
    """
    zoomed_V1 = (scenes.scale_V * recipe.zoom ** _signed(chance_VR[:, Chance.ZOOM]))[:, None]
    # what is seen straight from above has no upright, so tiles also turn by quarters
    quarters_V = np.where(scenes.bounded_V, 0.0, 90.0 * np.floor(4 * chance_VR[:, Chance.QUARTER]))
    places = Placements(
        width=crop[0],
        height=crop[1],
        frame_V2=scenes.frame_V2,
        scale_V2=zoomed_V1.repeat(2, axis=1),
        shift_V2=np.zeros((len(chance_VR), 2)),
        mirror_V=chance_VR[:, Chance.MIRROR] < recipe.mirror,
        turn_V=quarters_V + scenes.turn_V * _signed(chance_VR[:, Chance.TURN]),
        bounded_V=scenes.bounded_V,
    )
    covered_V2 = scenes.frame_V2 * zoomed_V1
    slack_V2 = crop - covered_V2  # negative where the frame is larger than the view
    low_V2, high_V2 = np.minimum(slack_V2, 0.0), np.maximum(slack_V2, 0.0)  # the view stays full, or the frame whole
    share_V2 = chance_VR[:, [Chance.SHIFT_X, Chance.SHIFT_Y]]
    shift_V2 = low_V2 + share_V2 * (high_V2 - low_V2)
    focused = np.flatnonzero((scenes.num_focus_V > 0) & (chance_VR[:, Chance.FOCUSED] < FOCUSED))
    if len(focused):
        which = (chance_VR[focused, Chance.FOCUS] * scenes.num_focus_V[focused]).astype(np.int64)
        focus_2 = places.points_to_input(scenes.focus_X2[scenes.first_focus_V[focused] + which], focused)
        wanted_2 = (0.2 + 0.6 * share_V2[focused]) * crop - focus_2
        shift_V2[focused] = np.clip(wanted_2, low_V2[focused], high_V2[focused])
    jitter_V2 = _signed(chance_VR[:, [Chance.JITTER_X, Chance.JITTER_Y]]) * recipe.jitter
    return replace(places, shift_V2=shift_V2 + jitter_V2 * np.minimum(crop, covered_V2))


def relight(x_VCHW: Tensor, chance_VR: Numbers, recipe: Recipe) -> Tensor:
    """Change brightness and contrast of each picture."""
    light_2V = np.stack(
        [
            1 + _signed(chance_VR[:, Chance.GAIN]) * recipe.contrast,
            _signed(chance_VR[:, Chance.OFFSET]) * recipe.brightness,
        ]
    )
    gain, offset = torch.from_numpy(light_2V).to(x_VCHW)[:, :, None, None, None]
    mean = x_VCHW.mean(dim=(1, 2, 3), keepdim=True)
    return torch.addcmul(offset + mean * (1 - gain), x_VCHW, gain).clamp_(0, 1)


def _signed(chance: Numbers) -> Numbers:
    """-1..1"""
    return 2 * chance - 1
