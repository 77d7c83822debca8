"""Random views of the labelled frames: crops, magnification, shift, mirror, light. Labels follow through the Placement."""

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
    bounded: bool,
    random: np.random.Generator,
) -> Placement:
    """Where one training picture looks.

    Args:
        frame_size: width, height in frame pixels.
        crop: width, height in input pixels.
        focus_N2: x, y of things worth looking at, frame pixels; may be empty.
    """
    zoom = float(np.exp(random.uniform(-1, 1) * np.log(recipe.zoom)))
    mirror = bool(random.random() < recipe.mirror)
    focused = len(focus_N2) > 0 and random.random() < FOCUSED
    focus = focus_N2[random.integers(len(focus_N2))] if focused else None
    shifts = []
    for axis in (0, 1):
        extent = frame_size[axis] * scale * zoom
        slack = crop[axis] - extent  # negative: the frame is larger than the crop
        low, high = min(slack, 0.0), max(slack, 0.0)
        if focus is None:
            shift = random.uniform(low, high)
        else:
            at = frame_size[0] - focus[0] if axis == 0 and mirror else focus[axis]
            shift = float(np.clip(random.uniform(0.2, 0.8) * crop[axis] - at * scale * zoom, low, high))
        shifts.append(shift + random.uniform(-1, 1) * recipe.jitter * min(crop[axis], extent))
    return Placement(
        frame_width=frame_size[0],
        frame_height=frame_size[1],
        width=crop[0],
        height=crop[1],
        scale_x=scale * zoom,
        scale_y=scale * zoom,
        shift_x=shifts[0],
        shift_y=shifts[1],
        mirror=mirror,
        bounded=bounded,
    )


def relight(x_NCHW: Tensor, recipe: Recipe, random: np.random.Generator) -> Tensor:
    """Change brightness and contrast of each picture."""
    n = len(x_NCHW)
    gain = torch.from_numpy(1 + random.uniform(-1, 1, n) * recipe.contrast).to(x_NCHW).view(n, 1, 1, 1)
    offset = torch.from_numpy(random.uniform(-1, 1, n) * recipe.brightness).to(x_NCHW).view(n, 1, 1, 1)
    mean = x_NCHW.mean(dim=(1, 2, 3), keepdim=True)
    return ((x_NCHW - mean) * gain + mean + offset).clamp(0, 1)
