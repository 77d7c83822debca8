"""Frames of a video by their exact number, decoded in order with memory that does not grow with the video.

Frame n is the n-th picture in order of presentation, as a decoder that starts at the beginning shows it, whatever
the frame rate does. Pixels are stored pixels turned upright: a display matrix is honoured, a pixel aspect ratio is not.
"""

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from training.data.frames import Frame
from training.data.orientation import Turn, turn_from_matrix, upright, upright_size
from training.data.packets import PacketIndex, packet_index
from training.data.shards import Shard
from training.data.video_file import counted_pictures, decode_errors, open_video
from training.data.wanted import wanted_frames
from training.errors import BadVideo

__all__ = ["VideoFrames", "probe_video"]

_SHORT_GAP = 32  # frames; below this a gap is decoded through without looking for a key frame


class VideoFrames:
    """The frames of one video shard; an opened file is closed by the end of each read.

    threads: decoder threads; the caller's process decides its budget.
    """

    def __init__(self, shard: Shard, *, threads: int = 1) -> None:
        self.shard = shard
        self._threads = threads
        self._reformatter = VideoReformatter()
        self._turns: dict[int, Turn] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def read(self, frame_indices: Iterable[int] | None = None) -> Iterator[Frame]:
        """Yield the frames asked for (all by default) in increasing order, each once.

        Gaps without a key frame in them are decoded through; over a key frame it seeks, and checks every frame's
        time against the index of packets. Where they disagree it starts again and counts.
        Raises:
            UnknownFrame: an index outside 0..num_frames-1; raised at once.
            BadVideo: a frame that cannot be decoded or has another size; names the file and the frame.
        """
        return self._read(wanted_frames(self.shard, frame_indices))

    def _read(self, wanted: Sequence[int]) -> Iterator[Frame]:
        first = self.shard.first_frame
        numbers = [first + index for index in wanted] if first else wanted
        try:
            for number, picture in _pictures(self.shard.uri, numbers, threads=self._threads):
                yield self._frame(number - first, picture)
        except av.FFmpegError as error:  # while converting, decoding is translated where the frame is known
            raise BadVideo(f"{self.shard.uri}: {error.strerror}, needed pictures that convert to RGB") from error

    def _frame(self, frame_index: int, picture: VideoFrame) -> Frame:
        turn = _turn(picture, self._turns)
        size = upright_size(picture.width, picture.height, turn)
        if size != (self.shard.width, self.shard.height):
            raise _size_changed(self.shard.uri, frame_index, size, (self.shard.width, self.shard.height))
        rgb = self._reformatter.reformat(
            picture, format="rgb24", interpolation=Interpolation.FAST_BILINEAR, threads=self._threads
        )
        image_HW3: NDArray[np.uint8] = rgb.to_ndarray().astype(np.uint8, copy=False)
        return Frame(shard_id=self.shard.shard_id, frame_index=frame_index, image_HW3=upright(image_HW3, turn))


def probe_video(path: str, *, shard_id: str, content_hash: str, threads: int = 1) -> Shard:
    """Look at a whole video and describe it as one shard.

    Every picture is decoded once (not converted): only that proves how many there are and that they share a size.
    Raises:
        BadVideo: empty, truncated, damaged or without pictures, or its frames change size; names the first such frame.
    """
    index = packet_index(path)
    count, size = 0, (0, 0)
    turns: dict[int, Turn] = {}
    for number, picture in _from_start(path, threads):
        found = upright_size(picture.width, picture.height, _turn(picture, turns))
        size = size if number else found
        if found != size:
            raise _size_changed(path, number, found, size)
        count = number + 1
    if not count:
        raise BadVideo(f"{path}: no picture could be decoded, needed at least one")
    if index.exact and count != len(index.pts_N):
        raise BadVideo(f"{path}: {count} of {len(index.pts_N)} pictures decode, needed an undamaged video")
    return Shard(
        shard_id=shard_id,
        uri=path,
        kind="video",
        num_frames=count,
        width=size[0],
        height=size[1],
        content_hash=content_hash,
        fps=_fps(path, index),
    )


def _fps(path: str, index: PacketIndex) -> float | None:
    """Frames per second on average: measured where the packets tell, else what the header says."""
    with open_video(path) as (_, stream):
        if index.exact and len(index.pts_N) > 1 and stream.time_base:
            return (len(index.pts_N) - 1) / float((index.pts_N[-1] - index.pts_N[0]) * stream.time_base)
        return float(stream.average_rate) if stream.average_rate else None


def _pictures(path: str, numbers: Sequence[int], *, threads: int) -> Iterator[tuple[int, VideoFrame]]:
    """The pictures of these frame numbers (increasing), seeking where that is exact and pays."""
    done = 0
    try:
        for number, picture in _seeking(path, numbers, threads):
            yield number, picture
            done += 1
    except _OutOfStep:
        yield from _picked(path, numbers[done:], _from_start(path, threads))


def _seeking(path: str, numbers: Sequence[int], threads: int) -> Iterator[tuple[int, VideoFrame]]:
    with open_video(path, threads=threads) as (container, stream):
        pictures, position = counted_pictures(path, container, stream), 0
        for number in numbers:
            index = packet_index(path) if number - position >= _SHORT_GAP else None
            if index is not None and index.exact and index.key_before(number) > position:
                pictures = _after_seek(path, container, stream, index, index.key_before(number))
            yield from _picked(path, [number], pictures)
            position = number + 1


def _picked(path: str, numbers: Sequence[int], pictures: Iterator[tuple[int, VideoFrame]]) -> Iterator[tuple[int, VideoFrame]]:
    for wanted in numbers:
        for number, picture in pictures:
            if number == wanted:
                yield number, picture
                break
        else:
            raise BadVideo(f"{path}: frame {wanted} was not found, the video ends before it; needed the video that was added")


class _OutOfStep(Exception):
    """After a seek the pictures are not those the index says: only counting from the start is exact."""


def _after_seek(
    path: str, container: InputContainer, stream: VideoStream, index: PacketIndex, key: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Pictures from key frame number `key` on, each with the number its time has in the index."""
    with decode_errors(path, f"seeking frame {key}: "):
        container.seek(int(index.pts_N[key]), stream=stream)
    expected = key
    try:
        for picture in container.decode(stream):
            number = index.frame_at(picture.pts)
            if number is not None and number < key:
                continue  # the container went further back, or pictures that need what lies before the key frame
            if number != expected or picture.is_corrupt:
                raise _OutOfStep
            yield number, picture
            expected += 1
    except (av.FFmpegError, EOFError) as error:
        raise _OutOfStep from error
    if expected < len(index.pts_N):
        raise _OutOfStep


def _from_start(path: str, threads: int) -> Iterator[tuple[int, VideoFrame]]:
    with open_video(path, threads=threads) as (container, stream):
        yield from counted_pictures(path, container, stream)


def _turn(picture: VideoFrame, known: dict[int, Turn]) -> Turn:
    """Looked up once per rotation and file: a picture whose side data was touched lives until a garbage collection."""
    if picture.rotation not in known:
        matrix: Any = picture.side_data.get("DISPLAYMATRIX")
        known[picture.rotation] = turn_from_matrix(None if matrix is None else bytes(matrix))
    return known[picture.rotation]


def _size_changed(path: str, frame: int, found: tuple[int, int], needed: tuple[int, int]) -> BadVideo:
    return BadVideo(f"{path}: frame {frame} is {found[0]}x{found[1]}, needed {needed[0]}x{needed[1]} as in the frames before it")
