"""Decoded frames between the threads that decode them and the one that looks at them, bounded by the bytes of their pixels."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from training.data.frames import Frame

__all__ = ["Batch", "BufferClosed", "FrameBuffer", "num_bytes"]

Owner = TypeVar("Owner")


class BufferClosed(Exception):
    """Whoever looks at the frames has stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[Owner]):
    """frames: each with what it belongs to, whose own frames are in order. ended: owners that have no frames after these."""

    frames: list[tuple[Owner, Frame]]
    ended: list[Owner]


class FrameBuffer(Generic[Owner]):
    """Room for frames, which a producer reserves before it decodes one; a batch is held until the next one is taken.

    Args:
        producers: threads that will call `leave` at their end.
        max_bytes: of frames that are being decoded, wait, or are looked at. One frame alone may be larger.
        batch_frames, batch_bytes: a batch is full with either. It may be larger by a frame, and is smaller when the producers
            have left, or wait for room.
    """

    def __init__(self, *, producers: int, max_bytes: int, batch_frames: int, batch_bytes: int) -> None:
        self._max_bytes, self._batch_frames, self._batch_bytes = max_bytes, batch_frames, batch_bytes
        lock = threading.Lock()
        self._room, self._filled = threading.Condition(lock), threading.Condition(lock)
        self._waiting: deque[tuple[Owner, Frame | None]] = deque()  # None: this owner has ended
        self._frames_waiting = self._bytes_waiting = self._bytes_held = self._bytes_lent = 0
        self._lent: list[tuple[Owner, Frame]] = []
        self._producers, self._wanted = producers, dict[int, int]()  # thread -> bytes that it waits for
        self._closed = False
        self._error: BaseException | None = None

    def reserve(self, wanted: int) -> None:
        """Wait for room for a frame of so many bytes.

        Raises:
            BufferClosed: nobody will look at it.
        """
        with self._room:
            if not self._fits(wanted):
                self._wanted[threading.get_ident()] = wanted
                self._filled.notify()
                self._room.wait_for(lambda: self._closed or self._fits(wanted))
                del self._wanted[threading.get_ident()]
            if self._closed:
                raise BufferClosed
            self._bytes_held += wanted

    def put(self, owner: Owner, frame: Frame, reserved: int) -> None:
        """Hand over a frame that room was reserved for, and take as much as it really needs."""
        with self._filled:
            self._waiting.append((owner, frame))
            self._frames_waiting += 1
            self._bytes_waiting += num_bytes(frame)
            self._bytes_held += num_bytes(frame) - reserved
            if self._worth_taking():
                self._filled.notify()

    def unreserve(self, reserved: int) -> None:
        """There will be no such frame."""
        with self._room:
            self._bytes_held -= reserved
            self._room.notify_all()

    def end(self, owner: Owner) -> None:
        """There are no further frames of this owner."""
        with self._filled:
            self._waiting.append((owner, None))

    def leave(self, error: BaseException | None = None) -> None:
        """A producer ends; with an error, so does whoever takes batches."""
        with self._filled:
            self._producers -= 1
            self._error = self._error or error
            self._filled.notify()

    def take(self) -> Batch[Owner] | None:
        """The next batch, None when there is nothing more; the last one is emptied, and what its frames took is free again.

        Raises:
            Whatever a producer left with.
        """
        with self._filled:
            self._lent.clear()
            self._bytes_held -= self._bytes_lent
            self._bytes_lent = 0
            self._room.notify_all()
            self._filled.wait_for(self._worth_taking)
            if self._error is not None:
                raise self._error
            batch = self._next()
            return batch if batch.frames or batch.ended else None

    def close(self) -> None:
        """Nothing more will be taken."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def _next(self) -> Batch[Owner]:
        frames: list[tuple[Owner, Frame]] = []
        ended: list[Owner] = []
        while self._waiting and (self._waiting[0][1] is None or not self._full(len(frames), self._bytes_lent)):
            owner, frame = self._waiting.popleft()
            if frame is None:
                ended.append(owner)
            else:
                frames.append((owner, frame))
                self._bytes_lent += num_bytes(frame)
        self._lent = frames
        self._frames_waiting -= len(frames)
        self._bytes_waiting -= self._bytes_lent
        return Batch(frames=frames, ended=ended)

    def _worth_taking(self) -> bool:
        stuck = len(self._wanted) == self._producers and not any(map(self._fits, self._wanted.values()))
        return stuck or self._error is not None or self._full(self._frames_waiting, self._bytes_waiting)

    def _full(self, frames: int, in_bytes: int) -> bool:
        return frames >= self._batch_frames or in_bytes >= self._batch_bytes

    def _fits(self, wanted: int) -> bool:
        return self._bytes_held == 0 or self._bytes_held + wanted <= self._max_bytes


def num_bytes(frame: Frame) -> int:
    """Of its pixels, with those around it."""
    return frame.image_HW3.nbytes + (0 if frame.around_HW3 is None else frame.around_HW3.nbytes)
