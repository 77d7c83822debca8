"""Frames on their way into a network: resized, padded and stacked."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.frames import Frame
from training.models.geometry import Placement
from training.models.network import DEEPEST_STRIDE

__all__ = ["input_size", "place_frame", "resized", "stack_inputs", "view", "warp"]

Extent = tuple[float, float, float, float]


def resized(frame: Frame, scale: float) -> Tensor:
    """The frame with its surroundings at `scale`, antialiased: (3, H, W) uint8."""
    image_3HW = torch.from_numpy(frame.seen_HW3.copy()).permute(2, 0, 1)
    if scale == 1:
        return image_3HW.contiguous()
    size = _scaled(frame, scale)
    return F.interpolate(image_3HW[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]


def input_size(frame: Frame, scale: float) -> tuple[int, int]:
    """Height and width of what place_frame makes of it."""
    height, width = (-(-side // DEEPEST_STRIDE) * DEEPEST_STRIDE for side in _scaled(frame, scale))
    return height, width


def place_frame(frame: Frame, scale: float) -> tuple[Tensor, Placement]:
    """The frame with its surroundings at `scale`, padded right and below to multiples of 32, and where the frame lies there."""
    image_3HW = resized(frame, scale)
    height, width = image_3HW.shape[1:]
    scale_y, scale_x = height / frame.seen_HW3.shape[0], width / frame.seen_HW3.shape[1]
    padded_height, padded_width = input_size(frame, scale)
    placement = Placement(
        frame_width=frame.width,
        frame_height=frame.height,
        width=padded_width,
        height=padded_height,
        scale_x=scale_x,
        scale_y=scale_y,
        shift_x=frame.origin_xy[0] * scale_x,
        shift_y=frame.origin_xy[1] * scale_y,
        bounded=frame.window is None,
    )
    return F.pad(image_3HW, (0, padded_width - width, 0, padded_height - height)), placement


def _scaled(frame: Frame, scale: float) -> tuple[int, int]:
    """Height and width at the scale, before padding."""
    height, width = (max(1, round(side * scale)) for side in frame.seen_HW3.shape[:2])
    return height, width


def stack_inputs(images: Sequence[Tensor], device: torch.device) -> Tensor:
    """(N, 3, H, W) float32 in 0..1 from equally large uint8 pictures."""
    return torch.stack(list(images)).to(device, non_blocking=True).float().div_(255)


def view(images: Sequence[Tensor], extents: Sequence[Extent], placements: Sequence[Placement]) -> Tensor:
    """Cut N views out of pre-scaled pictures: (N, 3, H, W) float32 in 0..1, black beyond what a picture covers.

    images: (3, h, w) uint8, each covering its extent (xyxy in frame pixels) at any resolution.
    """
    cut = [warp(image, extent, place) for image, extent, place in zip(images, extents, placements, strict=True)]
    return torch.cat(cut).div_(255)


def warp(map_Chw: Tensor, extent: Extent, place: Placement, *, mode: str = "bilinear") -> Tensor:
    """(1, C, H, W): a map that covers `extent` (xyxy in frame pixels) at any resolution, cut out as the placement says.

    It is 0 beyond the extent.

    grid_sample goes from normalised output to normalised input coordinates (align_corners=False: edges at -1 and 1).
    """
    to_pixels = np.array([[place.width / 2, 0, place.width / 2], [0, place.height / 2, place.height / 2], [0, 0, 1]])
    x1, y1, x2, y2 = extent
    half_x, half_y = (x2 - x1) / 2, (y2 - y1) / 2
    to_shares = np.array([[1 / half_x, 0, -1 - x1 / half_x], [0, 1 / half_y, -1 - y1 / half_y], [0, 0, 1]])
    back = to_shares @ np.linalg.inv(place.matrix()) @ to_pixels
    theta = torch.from_numpy(back[None, :2]).float().to(map_Chw.device)
    grid = F.affine_grid(theta, [1, 3, place.height, place.width], align_corners=False)
    return F.grid_sample(map_Chw[None].float(), grid, mode=mode, padding_mode="zeros", align_corners=False)
