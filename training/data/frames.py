"""One picture of a shard, and the one way to read them whatever the shard is made of."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from training.data.shards import Shard, Window
from training.errors import WrongShape

__all__ = ["Frame", "FrameSource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture of a shard.

    image_HW3: uint8 RGB, 0..255, upright.
    window: where a tile lies in its scene, None for video and folders.
    around_HW3: the tile with its surroundings, black beyond the scene; None where there are none.
    origin_xy: where the tile's left top pixel lies in them. Labels are in pixels of the tile itself.
    """

    shard_id: str
    frame_index: int
    image_HW3: NDArray[np.uint8]
    window: Window | None = None
    around_HW3: NDArray[np.uint8] | None = None
    origin_xy: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.image_HW3.ndim != 3 or self.image_HW3.shape[2] != 3 or self.image_HW3.dtype != np.uint8:
            raise WrongShape(
                f"{self.shard_id} frame {self.frame_index}: {self.image_HW3.dtype} {self.image_HW3.shape}, needed uint8 (H, W, 3)"
            )

    @property
    def width(self) -> int:
        return int(self.image_HW3.shape[1])

    @property
    def height(self) -> int:
        return int(self.image_HW3.shape[0])

    def alone(self) -> "Frame":
        """Without its surroundings."""
        return self if self.around_HW3 is None else replace(self, around_HW3=None, origin_xy=(0, 0))

    @property
    def seen_HW3(self) -> NDArray[np.uint8]:
        """What a model looks at: the picture with its surroundings."""
        return self.image_HW3 if self.around_HW3 is None else self.around_HW3

    @property
    def seen_xyxy(self) -> tuple[int, int, int, int]:
        """Where `seen_HW3` lies, in pixels of the frame."""
        (height, width), (x, y) = self.seen_HW3.shape[:2], self.origin_xy
        return -x, -y, width - x, height - y


class FrameSource(Protocol):
    """Frames of one shard, read a few at a time; memory does not grow with the shard.

    A context manager: leaving it closes what is open.
    """

    shard: Shard

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def read(self, frame_indices: Iterable[int] | None = None) -> Iterator[Frame]:
        """Yield the frames asked for (all by default) in increasing order, each once.

        Raises:
            UnknownFrame: an index outside 0..num_frames-1; raised before anything is decoded.
            BadVideo, BadPicture: the source cannot be decoded; names the file and the frame.
        """
        ...
