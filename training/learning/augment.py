"""Random views of the labelled frames: crops, magnification, shift, mirror, light. Labels follow through the Placement."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.learning.recipes import Recipe
from training.models.geometry import Placement
from training.models.network import DEEPEST_STRIDE

__all__ = ["crop_size", "random_placement", "relight"]

FOCUSED = 0.7  # share of the crops that are put around an object


def crop_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """Width and height of training pictures: the whole input if it has at most `max_pixels`, else a piece of that area."""
    w, h = (-(-side // DEEPEST_STRIDE) * DEEPEST_STRIDE for side in (width, height))
    if w * h <= max_pixels:
        return w, h
    side = float(np.sqrt(max_pixels))
    h = min(h, max(DEEPEST_STRIDE, round(side / DEEPEST_STRIDE) * DEEPEST_STRIDE))
    return min(w, max(DEEPEST_STRIDE, int(max_pixels / h) // DEEPEST_STRIDE * DEEPEST_STRIDE)), h


def random_placement(
    *,
    frame_size: tuple[int, int],
    scale: float,
    crop: tuple[int, int],
    focus_N2: NDArray[np.float32],
    recipe: Recipe,
    turn: float,
    bounded: bool,
    random: np.random.Generator,
) -> Placement:
    """Where one training picture looks.

    Args:
        frame_size: width, height in frame pixels.
        crop: width, height in input pixels.
        focus_N2: x, y of things worth looking at, frame pixels; may be empty.
        turn: largest random turn, degrees.
    """
    place = Placement(
        frame_width=frame_size[0],
        frame_height=frame_size[1],
        width=crop[0],
        height=crop[1],
        scale_x=(zoomed := scale * float(np.exp(random.uniform(-1, 1) * np.log(recipe.zoom)))),
        scale_y=zoomed,
        mirror=bool(random.random() < recipe.mirror),
        turn=_turn(turn, bounded, random),
        bounded=bounded,
    )
    focused = len(focus_N2) > 0 and random.random() < FOCUSED
    focus = place.points_to_input(focus_N2[random.integers(len(focus_N2))])[0] if focused else None
    low_high = [_range(crop[axis] - frame_size[axis] * zoomed) for axis in (0, 1)]
    shifts = []
    for axis, (low, high) in enumerate(low_high):
        if focus is None:
            shift = random.uniform(low, high)
        else:
            shift = float(np.clip(random.uniform(0.2, 0.8) * crop[axis] - focus[axis], low, high))
        shifts.append(shift + random.uniform(-1, 1) * recipe.jitter * min(crop[axis], frame_size[axis] * zoomed))
    return replace(place, shift_x=shifts[0], shift_y=shifts[1])


def _range(slack: float) -> tuple[float, float]:
    """Shifts that keep the view full, or the frame whole; slack is negative where the frame is larger than the view."""
    return min(slack, 0.0), max(slack, 0.0)


def _turn(most: float, bounded: bool, random: np.random.Generator) -> float:
    """Degrees; what is seen straight from above has no upright, so tiles also turn by quarters."""
    quarters = 0.0 if bounded else 90.0 * float(random.integers(4))
    return quarters + float(random.uniform(-most, most))


def relight(x_NCHW: Tensor, recipe: Recipe, random: np.random.Generator) -> Tensor:
    """Change brightness and contrast of each picture."""
    n = len(x_NCHW)
    gain = torch.from_numpy(1 + random.uniform(-1, 1, n) * recipe.contrast).to(x_NCHW).view(n, 1, 1, 1)
    offset = torch.from_numpy(random.uniform(-1, 1, n) * recipe.brightness).to(x_NCHW).view(n, 1, 1, 1)
    mean = x_NCHW.mean(dim=(1, 2, 3), keepdim=True)
    return ((x_NCHW - mean) * gain + mean + offset).clamp(0, 1)
