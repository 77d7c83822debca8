"""Opening a video file and counting its pictures from the start.

Formats and protocols are listed, so that a playlist or a picture that calls itself .mp4 opens nothing else.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from training.errors import BadVideo

__all__ = ["counted_pictures", "decode_errors", "open_video"]

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "m4v",
    "h264",
    "hevc",
    "ivf",
    "flv",
    "asf",
    "ogg",
    "mxf",
    "gif",
    "mjpeg",
)
_OPTIONS = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}


@contextlib.contextmanager
def decode_errors(path: str, where: str = "") -> Iterator[None]:
    """Translate what FFmpeg raises into BadVideo that names the file."""
    try:
        yield
    except (av.FFmpegError, EOFError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadVideo(f"{path}: {where}{reason}, needed a video that decodes to its end") from error


@contextlib.contextmanager
def open_video(path: str, *, threads: int = 1) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first stream of moving pictures (cover art does not count), decoding on `threads` threads.

    Raises:
        BadVideo: the file is missing, cannot be read, is empty, not a video, cut before its header ends, or has only sound.
    """
    _refuse_missing(path)
    with decode_errors(path):
        container = av.open(path, options=dict(_OPTIONS), metadata_errors="ignore")
    with container:
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no"
            raise BadVideo(f"{path}: {kinds} streams only, needed one with moving pictures")
        stream = streams[0]
        stream.codec_context.thread_type = "AUTO" if threads > 1 else "NONE"
        stream.codec_context.thread_count = threads
        yield container, stream


def _refuse_missing(path: str) -> None:
    try:
        if not Path(path).is_file():
            raise BadVideo(f"{path}: no such file, needed a video")
        if Path(path).stat().st_size == 0:
            raise BadVideo(f"{path}: 0 bytes, needed a video")
    except OSError as error:
        raise BadVideo(f"{path}: {error.strerror}, needed a video that can be read") from error


def counted_pictures(path: str, container: InputContainer, stream: VideoStream) -> Iterator[tuple[int, VideoFrame]]:
    """Pictures from the start, counted; packets before the first key frame may fail, as in a recording that starts midway."""
    number, started = 0, False
    with decode_errors(path):
        packets = container.demux(stream)
    while True:
        with decode_errors(path, f"frame {number}: "):
            packet = next(packets, None)
            if packet is None:
                return
            started = started or packet.is_keyframe
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                if started:
                    raise
                continue
        for picture in pictures:
            yield number, picture
            number += 1
