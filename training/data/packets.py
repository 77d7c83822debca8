"""Where the frames of a video lie: the order of its packets, read without decoding them."""

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from training.data.video_file import counted_pictures, decode_errors, open_video
from training.errors import BadVideo

__all__ = ["PacketIndex", "packet_index"]

# codecs whose containers store packets that show no picture: a packet's place says nothing about a frame's number
_HIDDEN_FRAMES = frozenset({"vp8"})
_COMPARED_FRAMES = 16
_TRANSPORT_BYTES = (188, 192, 204)  # of a packet of an MPEG transport stream, plain, with a clock, with error correction


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """Where the frames of a video lie, read from its packets without decoding them: 9 bytes a frame.

    pts_N: int64, presentation times in the stream's time base, increasing; row n is frame n.
    is_key_N: bool, frames that decoding can start at.
    exact: False if the packets do not tell the order of the frames; then frames can only be counted from the start.
    """

    pts_N: NDArray[np.int64]
    is_key_N: NDArray[np.bool_]
    exact: bool

    def key_before(self, frame: int) -> int:
        """The last frame at or before `frame` that decoding can start at; 0 if there is none."""
        keys = np.flatnonzero(self.is_key_N[: frame + 1])
        return int(keys[-1]) if len(keys) else 0

    def frame_at(self, pts: int | None) -> int | None:
        """The number of the frame shown at `pts`, None if no packet had it."""
        if pts is None:
            return None
        frame = int(np.searchsorted(self.pts_N, pts))
        return frame if frame < len(self.pts_N) and self.pts_N[frame] == pts else None


def packet_index(path: str) -> PacketIndex:
    """The index of a video, read once per file and process while the file does not change.

    Raises:
        BadVideo: not a video, or the file ends before the pictures that its header promises.
    """
    status = Path(path).stat() if Path(path).is_file() else None
    return _packet_index(path, *((status.st_size, status.st_mtime_ns) if status else (0, 0)))


@lru_cache(maxsize=16)
def _packet_index(path: str, size: int, mtime_ns: int) -> PacketIndex:
    with open_video(path) as (container, stream):
        times: list[int] = []
        keys: list[bool] = []
        untimed = num_packets = end_us = 0
        with decode_errors(path):
            for packet in container.demux():
                if packet.pts is not None:
                    end_us = max(end_us, int((packet.pts + (packet.duration or 0)) * packet.time_base * 1_000_000))
                if packet.stream_index != stream.index or (packet.pts is None and not packet.size):
                    continue  # of another stream, or the empty one at the end
                if packet.is_corrupt and "mpegts" not in container.format.name:
                    raise BadVideo(f"{path}: cut off in packet {num_packets}, needed the whole file")
                num_packets += 1
                untimed += packet.pts is None
                if packet.pts is not None and not packet.is_discard:
                    times.append(packet.pts)
                    keys.append(packet.is_keyframe)
        _refuse_missing_end(path, container, stream, num_packets, end_us)
        exact = not untimed and len(set(times)) == len(times) and stream.codec_context.name not in _HIDDEN_FRAMES
    order = np.argsort(np.array(times, np.int64), kind="stable")
    return _from_the_first_picture(path, np.array(times, np.int64)[order], np.array(keys, np.bool_)[order], exact)


def _refuse_missing_end(path: str, container: InputContainer, stream: VideoStream, num_packets: int, end_us: int) -> None:
    """MP4 lists every packet, AVI its size, Matroska and others how long they are; a transport stream has whole packets."""
    name = container.format.name
    if "mp4" in name:
        promised = len(stream.index_entries)
        if num_packets < promised:
            raise BadVideo(f"{path}: cut off, {num_packets} pictures found, needed the {promised} of its header")
    elif name == "mpegts":
        if all(Path(path).stat().st_size % unit for unit in _TRANSPORT_BYTES):
            raise BadVideo(f"{path}: cut off, {Path(path).stat().st_size} bytes found, needed whole packets of 188 bytes")
    elif name == "avi":
        with Path(path).open("rb") as file:
            promised = int.from_bytes(file.read(8)[4:], "little") + 8
        found = Path(path).stat().st_size
        if found < promised < 2**31:
            raise BadVideo(f"{path}: cut off, {found} bytes found, needed the {promised} of its header")
    elif name in ("matroska,webm", "flv", "asf") and container.duration and end_us:
        missing_us = container.duration - (end_us - max(0, container.start_time or 0))
        if missing_us > max(250_000, container.duration // 50):
            found_s, needed_s = (container.duration - missing_us) / 1e6, container.duration / 1e6
            raise BadVideo(f"{path}: cut off, {found_s:.2f} s found, needed the {needed_s:.2f} s of its header")


def _from_the_first_picture(path: str, pts_N: NDArray[np.int64], is_key_N: NDArray[np.bool_], exact: bool) -> PacketIndex:
    """Drop packets before the first one that decodes, and trust the order only if the first frames come out in it."""
    shown = list(_first_times(path)) if exact else []
    first = int(np.searchsorted(pts_N, shown[0])) if shown and shown[0] is not None else 0
    pts_N, is_key_N = pts_N[first:], is_key_N[first:]
    return PacketIndex(pts_N, is_key_N, exact and shown == pts_N[: len(shown)].tolist())


def _first_times(path: str) -> Iterator[int | None]:
    # what fails here fails again in reading, which names the frame
    with open_video(path) as (container, stream), contextlib.suppress(BadVideo):
        for _, picture in itertools.islice(counted_pictures(path, container, stream), _COMPARED_FRAMES):
            yield picture.pts
