"""What may happen to a picture on its way to us: a domain has to bear it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.pictures import decode_picture, encode_jpeg

__all__ = ["KEPT", "VIEWS"]

Picture = NDArray[np.uint8]


def _half_jpeg(image_HW3: Picture) -> Picture:
    half_HW3 = np.array(Image.fromarray(image_HW3).reduce(2))
    return decode_picture(encode_jpeg(half_HW3, quality=50), name="half")


def _exposed(gain: float) -> Callable[[Picture], Picture]:
    return lambda image_HW3: np.clip(image_HW3 * np.float32(gain), 0, 255).astype(np.uint8)


def _closer(image_HW3: Picture) -> Picture:
    """The middle nine tenths of each side."""
    rows, columns = (slice(side // 20, side - side // 20) for side in image_HW3.shape[:2])
    return np.ascontiguousarray(image_HW3[rows, columns])


VIEWS: tuple[Callable[[Picture], Picture], ...] = (
    lambda image_HW3: image_HW3,
    _half_jpeg,  # half the size, JPEG of quality 50
    _exposed(0.7),
    _exposed(1.3),
    _closer,
)
KEPT = 2  # the first ones stay in a descriptor; all say how far a domain has to reach
