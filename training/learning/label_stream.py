"""Clips as one stream: decoding runs ahead, batches are filled across clips and shards, labels are written behind.

Whatever goes wrong with a frame is a row of its clip, whatever goes wrong with a clip is in its receipt; neither stops others.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.errors import named
from training.learning.clip import Clip, ClipReceipt
from training.learning.decode_ahead import DecodeAhead, OpenClip
from training.learning.frame_buffer import Batch, FrameBuffer
from training.store.predictions import Predictions
from training.store.store import Store

__all__ = ["MEMORY_BYTES", "Begin", "Predict", "StreamThreads", "Write", "label_stream"]

Predict = Callable[[list[Frame], list[Any]], Sequence[FrameLabels]]
"""What frames show, in their order; the second list has what `prepare` said of each frame's clip."""
Begin = Callable[[Clip], None]
Write = Callable[[Clip, Sequence[Any], Mapping[int, str], Mapping[str, float]], str]
"""Keeps what was predicted of a clip, its unreadable frames with the reason, and its seconds by stage; returns the key."""

MEMORY_BYTES = 64 * 2**20  # of decoded pixels, in one process
BATCH_BYTES = 12 * 2**20  # twice what a GPU sees in one pass
BATCH_FRAMES = 64
_FRAMES_PER_RUN = 256  # at least, where several threads share a video: each begins at the key frame before its run
_WRITERS = 4
_MOST_UNWRITTEN = 16  # clips


class StreamThreads:
    """Threads that decode and write for one stream after the other.

    They stay, because the C library gives every new thread memory of its own, and keeps what is freed for it.

    Args:
        decoders: runs of clips that are decoded at the same time.
    """

    def __init__(self, decoders: int = 1) -> None:
        self.num_decoders = decoders
        self.decoders = ThreadPoolExecutor(decoders, "decode")
        self.writers = ThreadPoolExecutor(_WRITERS, "write")


def label_stream(
    store: Store,
    clips: Sequence[Clip],
    *,
    prepare: Callable[[Clip], Any],
    predict: Predict,
    write: Write | None = None,
    begin: Begin = lambda clip: None,
    threads: StreamThreads,
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[ClipReceipt]:
    """Label clips and write what was said; one receipt for each, when it is in the store. Close it, or take them all.

    Args:
        prepare: what `predict` has to know about a clip, such as its micro-model; called in a decoding thread.
        predict: called by this thread alone. Where a batch fails, its clips are tried one by one.
        write: called by several threads; among the store's predictions by default.
        begin: called before anything is done for a clip, in a decoding thread.
        threads: of this stream alone while it lasts.
        memory_bytes: of decoded frames; what one clip's labels take comes on top.
    """
    todo = list(_runs(clips, threads.num_decoders))
    decoding = min(threads.num_decoders, len(todo))
    buffer = FrameBuffer[OpenClip](
        producers=decoding, max_bytes=memory_bytes, batch_frames=BATCH_FRAMES, batch_bytes=min(BATCH_BYTES, memory_bytes // 2)
    )
    ahead = DecodeAhead(store, todo, buffer, prepare=prepare, begin=begin, pool=threads.decoders, threads=decoding)
    unwritten: deque[Future[ClipReceipt]] = deque()
    with ahead as batches:
        waited_since = time.monotonic()
        for batch in batches:
            waited_s = time.monotonic() - waited_since
            _label(batch, predict, waited_s)
            unwritten.extend(
                threads.writers.submit(_written, opened, write or _among(store.predictions)) for opened in batch.ended
            )
            while unwritten and (unwritten[0].done() or len(unwritten) > _MOST_UNWRITTEN):
                yield unwritten.popleft().result()
            waited_since = time.monotonic()
    while unwritten:
        yield unwritten.popleft().result()


def _runs(clips: Sequence[Clip], threads: int) -> Iterator[list[Clip]]:
    """Clips that follow each other together; where several threads decode, no run is so long that others wait for it."""
    longest = max(_FRAMES_PER_RUN, sum(clip.stop - clip.start for clip in clips) // threads)
    run: list[Clip] = []
    for clip in clips:
        if run and not (_follows(run[-1], clip) and clip.stop - run[0].start <= longest):
            yield run
            run = []
        run.append(clip)
    if run:
        yield run


def _follows(before: Clip, clip: Clip) -> bool:
    same = (before.shard_id, before.ontology, before.generation) == (clip.shard_id, clip.ontology, clip.generation)
    return same and before.stop == clip.start


def _label(batch: Batch[OpenClip], predict: Predict, waited_s: float) -> None:
    """Add what is said about each frame, and its share of the seconds, to its clip."""
    began = time.monotonic()
    frames = [(opened, frame) for opened, frame in batch.frames if opened.error is None]
    try:
        _answer(frames, predict)
    except Exception:
        for one in dict.fromkeys(opened for opened, _ in frames):
            try:
                _answer([(opened, frame) for opened, frame in frames if opened is one], predict)
            except Exception as error:
                one.error = named(error)
    took_s = time.monotonic() - began
    for opened, _ in batch.frames:
        opened.decode_s += waited_s / len(batch.frames)
        opened.model_s += took_s / len(batch.frames)


def _answer(frames: Sequence[tuple[OpenClip, Frame]], predict: Predict) -> None:
    if frames:
        said = predict([frame for _, frame in frames], [opened.how for opened, _ in frames])
        for (opened, _), labels in zip(frames, said, strict=True):
            opened.labels.append(labels)


def _among(predictions: Predictions) -> Write:
    def write(clip: Clip, labels: Sequence[Any], errors: Mapping[int, str], seconds: Mapping[str, float]) -> str:
        where = clip.shard_id, clip.ontology, clip.generation, clip.start, clip.stop
        return predictions.write(*where, labels, errors, seconds)

    return write


def _written(opened: OpenClip, write: Write) -> ClipReceipt:
    clip = opened.clip
    if opened.error is not None:
        return ClipReceipt(**asdict(clip), error=opened.error)
    try:
        key = write(clip, opened.labels, opened.errors, {"decode": opened.decode_s, "model": opened.model_s})
    except Exception as error:
        return ClipReceipt(**asdict(clip), error=named(error))
    return ClipReceipt(
        **asdict(clip),
        num_frames=len(opened.labels),
        num_objects=sum(len(frame.annotations) for frame in opened.labels),
        num_errors=len(opened.errors),
        decode_seconds=opened.decode_s,
        model_seconds=opened.model_s,
        key=key,
    )
