"""A crop is a frame of its own: cut out of a picture as a micro-model wants to see it, and what is said of it brought back."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from training.data import rle
from training.data.annotations import Annotation
from training.data.frames import Frame
from training.data.shards import Window
from training.models.geometry import Placement
from training.models.inputs import warp

__all__ = ["Crop", "cut"]

Box = tuple[float, float, float, float]
HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A box of a frame, as a micro-model is asked about it.

    frame: the crop. place: where the whole frame lies in it.
    asked: what the crop is about, xyxy in pixels of the whole frame; it shows more around it where its shape needs that.
    seen: all that can be seen of the whole frame and around it.
    """

    frame: Frame
    place: Placement
    asked: Box
    seen: Box

    def back(self, said: Annotation) -> Annotation | None:
        """The same in pixels of the whole frame; None where it lies outside of what was asked."""
        if said.rle_counts is not None:
            return self._mask_back(said, said.rle_counts)
        if said.bbox_xyxy is None:
            return said
        box = _clipped(self.place.boxes_to_frame(np.array([said.bbox_xyxy]))[0].tolist(), self.seen)
        if box is None or not _centred(box, self.asked):
            return None
        return replace(said, bbox_xyxy=box, keypoints_xyv=self._points_back(said.keypoints_xyv))

    def _points_back(self, points_xyv: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if points_xyv is None:
            return None
        points_P3 = np.array(points_xyv, np.float64).reshape(-1, 3)
        placed_P2 = self.place.points_to_frame(points_P3[:, :2])
        return tuple(float(value) for value in np.concatenate([placed_P2, points_P3[:, 2:]], axis=1).ravel())

    def _mask_back(self, said: Annotation, counts: str) -> Annotation | None:
        """Of a mask, what lies in what was asked."""
        width, height = self.place.frame_width, self.place.frame_height
        inside = _clipped(self.asked, (0, 0, width, height))
        window = None if inside is None else _around(inside)
        if window is None:
            return None
        mask_1hw = torch.from_numpy(rle.decode(counts, self.frame.height, self.frame.width).copy())[None].float()
        (x1, y1), (x2, y2) = self.place.points_to_frame(np.array([[0, 0], [self.frame.width, self.frame.height]])).tolist()
        onto = Placement(
            frame_width=width,
            frame_height=height,
            width=window.width,
            height=window.height,
            scale_x=1,
            scale_y=1,
            shift_x=-window.column,
            shift_y=-window.row,
        )
        placed_hw = warp(mask_1hw, (x1, y1, x2, y2), onto)[0, 0].numpy() >= HALF
        if not placed_hw.any():
            return None
        pasted = rle.paste(rle.encode(placed_hw), window, height, width)
        return replace(said, rle_counts=pasted, bbox_xyxy=rle.mask_box(pasted, height, width))


def cut(frame: Frame, box: Box, *, padding: float = 0.0, size_wh: tuple[int, int] | None = None) -> Crop | None:
    """Cut a box out of a frame; None if it lies outside of everything that can be seen.

    Args:
        box: xyxy, pixels of the frame.
        padding: on every side, in shares of the box's width and height.
        size_wh: the crop is resized to it. It shows what it takes around the box to have that shape, so that nothing is
            distorted, and black where nothing can be seen. None: the crop is the box, as large as it is in the frame.
    """
    x1, y1, x2, y2 = box
    more_x, more_y = padding * (x2 - x1), padding * (y2 - y1)
    asked = _clipped((x1 - more_x, y1 - more_y, x2 + more_x, y2 + more_y), frame.seen_xyxy)
    if asked is None:
        return None
    shown, scale = _shown(asked, size_wh)
    window = _around(_clipped(shown, frame.seen_xyxy) or asked)
    image_hw3 = _pixels(frame, window)
    if size_wh is None:
        image_HW3, scale_x, scale_y = image_hw3, 1.0, 1.0
        left, top = 0, 0
    else:
        wide, high = (max(1, round(side * scale)) for side in (window.width, window.height))
        left, top = round((window.column - shown[0]) * scale), round((window.row - shown[1]) * scale)
        image_HW3 = _on_black(_resized(image_hw3, wide, high), left, top, size_wh)
        scale_x, scale_y = wide / window.width, high / window.height
    place = Placement(
        frame_width=frame.width,
        frame_height=frame.height,
        width=image_HW3.shape[1],
        height=image_HW3.shape[0],
        scale_x=scale_x,
        scale_y=scale_y,
        shift_x=left - window.column * scale_x,
        shift_y=top - window.row * scale_y,
    )
    crop = Frame(shard_id=frame.shard_id, frame_index=frame.frame_index, image_HW3=image_HW3)
    return Crop(frame=crop, place=place, asked=asked, seen=frame.seen_xyxy)


def _shown(asked: Box, size_wh: tuple[int, int] | None) -> tuple[Box, float]:
    """What a crop of that size shows, a pixel of the frame at least, and its own pixels per pixel of the frame."""
    if size_wh is None:
        return asked, 1.0
    x1, y1, x2, y2 = asked
    scale = min(size_wh[0] / max(1.0, x2 - x1), size_wh[1] / max(1.0, y2 - y1))
    half_x, half_y = size_wh[0] / scale / 2, size_wh[1] / scale / 2
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return (x - half_x, y - half_y, x + half_x, y + half_y), scale


def _clipped(box: Box, limits: Box) -> Box | None:
    x1, y1, x2, y2 = box
    left, top, right, bottom = limits
    inside = max(x1, left), max(y1, top), min(x2, right), min(y2, bottom)
    return inside if inside[2] > inside[0] and inside[3] > inside[1] else None


def _around(box: Box) -> Window:
    """The whole pixels that a box touches."""
    left, top = (int(np.floor(value)) for value in box[:2])
    right, bottom = (int(np.ceil(value)) for value in box[2:])
    return Window(column=left, row=top, width=right - left, height=bottom - top)


def _centred(box: Box, asked: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return asked[0] <= x <= asked[2] and asked[1] <= y <= asked[3]


def _pixels(frame: Frame, window: Window) -> NDArray[np.uint8]:
    left, top = window.column + frame.origin_xy[0], window.row + frame.origin_xy[1]
    return frame.seen_HW3[top : top + window.height, left : left + window.width]


def _resized(image_hw3: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    x_13hw = torch.from_numpy(image_hw3.copy()).permute(2, 0, 1)[None]
    resized = F.interpolate(x_13hw, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    return resized[0].permute(1, 2, 0).contiguous().numpy()


def _on_black(image_hw3: NDArray[np.uint8], left: int, top: int, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture at its place on black; what sticks out is cut."""
    width, height = size_wh
    canvas_HW3 = np.zeros((height, width, 3), np.uint8)
    x1, y1 = max(0, left), max(0, top)
    x2, y2 = min(width, left + image_hw3.shape[1]), min(height, top + image_hw3.shape[0])
    canvas_HW3[y1:y2, x1:x2] = image_hw3[y1 - top : y2 - top, x1 - left : x2 - left]
    return canvas_HW3
