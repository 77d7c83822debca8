"""Clips decoded in threads, ahead of whoever labels them."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from training.data.annotations import FrameLabels
from training.data.frames import Frame, FrameSource
from training.data.sources import open_frames
from training.errors import MicroModelError, named
from training.learning.frame_buffer import Batch, BufferClosed, FrameBuffer
from training.learning.labelling import Clip
from training.store.store import Store

__all__ = ["DecodeAhead", "OpenClip"]

_RGB = 3  # bytes of a pixel


@dataclass(slots=True, eq=False, kw_only=True)
class OpenClip:
    """A clip that is being labelled.

    how: what `prepare` said of it. errors: frames that could not be read, and why. error: why the clip as a whole failed.
    decode_s, model_s: as in its receipt.
    """

    clip: Clip
    how: Any = None
    labels: list[FrameLabels] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    error: str | None = None
    decode_s: float = 0.0
    model_s: float = 0.0


class DecodeAhead:
    """An iterator of batches of frames, each with its clip; leaving it ends its threads.

    Args:
        todo: runs of clips that follow each other in one shard; one thread decodes a run, without a break.
        buffer: for as many producers as there are threads.
        prepare: says what has to be known about a run before its frames come; called by the thread that will decode it.
        begin: called by that thread before a clip's first frame is decoded; what it raises ends everything.
    """

    def __init__(
        self,
        store: Store,
        todo: Sequence[Sequence[Clip]],
        buffer: FrameBuffer[OpenClip],
        *,
        prepare: Callable[[Clip], Any],
        begin: Callable[[Clip], None],
        threads: int,
    ) -> None:
        self._store, self._todo, self._buffer = store, deque(todo), buffer
        self._prepare, self._begin = prepare, begin
        self._threads = [threading.Thread(target=self._work, name=f"decode-{number}") for number in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._buffer.close()
        for thread in self._threads:
            thread.join()

    def __iter__(self) -> Iterator[Batch[OpenClip]]:
        while (batch := self._buffer.take()) is not None:
            yield batch

    def _work(self) -> None:
        error: BaseException | None = None
        try:
            while (run := self._next_run()) is not None:
                self._decode(run)
        except BufferClosed:
            pass
        except BaseException as raised:
            error = raised
        self._buffer.leave(error)

    def _next_run(self) -> Sequence[Clip] | None:
        try:
            return self._todo.popleft()
        except IndexError:
            return None

    def _decode(self, run: Sequence[Clip]) -> None:
        try:
            shard = self._store.shard(run[0].shard_id)
            how, source = self._prepare(run[0]), open_frames(shard)
        except Exception as error:
            for clip in run:
                self._buffer.end(OpenClip(clip=clip, error=named(error)))
            return
        clips = deque(OpenClip(clip=clip, how=how) for clip in run)
        with source:
            while clips:
                self._read(source, clips, shard.width * shard.height * _RGB)

    def _read(self, source: FrameSource, clips: deque[OpenClip], frame_bytes: int) -> None:
        """Decode clips up to the first that fails: those behind it are tried anew."""
        frames = _frames(source, range(clips[0].clip.start, clips[-1].clip.stop))
        whole = True
        while clips and whole:
            opened = clips.popleft()
            self._begin(opened.clip)
            whole = self._read_clip(opened, frames, frame_bytes)
            self._buffer.end(opened)

    def _read_clip(self, opened: OpenClip, frames: Iterator[Frame], frame_bytes: int) -> bool:
        for index in range(opened.clip.start, opened.clip.stop):
            if opened.error is not None:  # its model cannot do it
                return False
            self._buffer.reserve(frame_bytes)
            try:
                self._buffer.put(opened, next(frames), frame_bytes)
            except Exception as error:
                self._buffer.unreserve(frame_bytes)
                if isinstance(error, MicroModelError):
                    opened.errors.update(dict.fromkeys(range(index, opened.clip.stop), named(error)))
                else:
                    opened.error = named(error)
                return False
        return True


def _frames(source: FrameSource, frame_indices: range) -> Iterator[Frame]:
    """As the source reads them; also what it raises before the first one is raised when that is asked for."""
    yield from source.read(frame_indices)
