"""Clips decoded in threads, ahead of whoever labels them."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from training.data.annotations import FrameLabels
from training.data.frames import Frame, FrameSource
from training.data.sources import open_frames
from training.errors import BadPicture, MicroModelError, named
from training.learning.clip import Clip
from training.learning.frame_buffer import Batch, BufferClosed, FrameBuffer
from training.store.store import Store

__all__ = ["DecodeAhead", "OpenClip"]

_RGB = 3  # bytes of a pixel


@dataclass(slots=True, eq=False, kw_only=True)
class OpenClip:
    """A clip that is being labelled.

    how: what `prepare` said of it. errors: frames that could not be read, and why. error: why the clip as a whole failed; also
        where no frame could be read: what is wrong is its source then, which may be there again the next time.
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
    """An iterator of batches of frames, each with its clip; whoever leaves it waits for its threads.

    Args:
        todo: runs of clips that follow each other in one shard; one thread decodes a run, without a break.
        buffer: for `threads` producers.
        pool: that many of its threads are used.
        prepare: says what has to be known about a run before its frames come; called by the thread that will decode it.
        begin: called by that thread before anything is done for a clip, its run's source opened too; what it raises ends
            everything.
    """

    def __init__(
        self,
        store: Store,
        todo: Sequence[Sequence[Clip]],
        buffer: FrameBuffer[OpenClip],
        *,
        prepare: Callable[[Clip], Any],
        begin: Callable[[Clip], None],
        pool: Executor,
        threads: int,
    ) -> None:
        self._store, self._todo, self._buffer = store, deque(todo), buffer
        self._prepare, self._begin = prepare, begin
        self._pool, self._threads = pool, threads
        self._working: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._working = [self._pool.submit(self._work) for _ in range(self._threads)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._buffer.close()
        for thread in self._working:
            thread.result()

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
        self._begin(run[0])
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
        """Decode clips, of which the first is begun, up to one that fails: those behind it are tried anew."""
        frames = _frames(source, range(clips[0].clip.start, clips[-1].clip.stop))
        whole = True
        while clips and whole:
            opened = clips.popleft()
            whole = self._read_clip(opened, source, frames, frame_bytes)
            if len(opened.errors) == opened.clip.stop - opened.clip.start:
                opened.error = f"no frame could be read, the first: {opened.errors[opened.clip.start]}"
            self._buffer.end(opened)
            if clips:
                self._begin(clips[0].clip)

    def _read_clip(self, opened: OpenClip, source: FrameSource, frames: Iterator[Frame], frame_bytes: int) -> bool:
        """Whether `frames` goes on with the next clip. Behind a picture that cannot be read others can, in a video not."""
        stop = opened.clip.stop
        for index in range(opened.clip.start, stop):
            if opened.error is not None:  # its model cannot do it
                return False
            self._buffer.reserve(frame_bytes)
            try:
                self._buffer.put(opened, next(frames), frame_bytes)
            except Exception as error:
                self._buffer.unreserve(frame_bytes)
                if not isinstance(error, MicroModelError):
                    opened.error = named(error)
                    return False
                if not isinstance(error, BadPicture):
                    opened.errors.update(dict.fromkeys(range(index, stop), named(error)))
                    return False
                opened.errors[index] = named(error)
                frames = _frames(source, range(index + 1, stop))
        return not opened.errors


def _frames(source: FrameSource, frame_indices: range) -> Iterator[Frame]:
    """As the source reads them; also what it raises before the first one is raised when that is asked for."""
    yield from source.read(frame_indices)
