"""Small real videos and pictures: every frame of a video carries its number as sixteen bars that survive any codec."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

WriteVideo = Callable[..., Path]
ReadNumber = Callable[[NDArray[np.uint8]], int]
WritePicture = Callable[..., Path]

_BITS = 16
_DARK, _BRIGHT = 40, 220


def barcode(number: int, width: int, height: int) -> NDArray[np.uint8]:
    image_HW3 = np.full((height, width, 3), _DARK, np.uint8)
    for bit in range(_BITS):
        if number >> bit & 1:
            image_HW3[:, bit * width // _BITS : (bit + 1) * width // _BITS] = _BRIGHT
    return image_HW3


def _number(image_HW3: NDArray[np.uint8]) -> int:
    height, width = image_HW3.shape[:2]
    centres = [image_HW3[height // 2, bit * width // _BITS + width // (2 * _BITS)].mean() for bit in range(_BITS)]
    return sum(int(value > (_DARK + _BRIGHT) / 2) << bit for bit, value in enumerate(centres))


def _write(
    path: Path,
    num_frames: int = 50,
    *,
    size: tuple[int, int] = (160, 96),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    times_ms: Sequence[int] | None = None,
    turn: tuple[int, bool, bool] | None = None,
    picture: Callable[[int, int, int], NDArray[np.uint8]] = barcode,
    then_size: tuple[int, int] | None = None,
) -> Path:
    """times_ms: when each frame is shown; turn: degrees, hflip, vflip; then_size: ten more frames of another size follow."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=25, options={"bf": "3", "g": "12", "b-adapt": "0"} | (options or {}))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if turn is not None:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        shown_ms = times_ms or range(0, 40 * num_frames, 40)
        _encode(container, stream, stream.codec_context, [picture(n, *size) for n in range(num_frames)], shown_ms)
        if then_size is not None:
            second: Any = av.CodecContext.create(codec, "w")
            second.width, second.height, second.pix_fmt, second.time_base = *then_size, "yuv420p", Fraction(1, 1000)
            second.framerate = Fraction(25)
            later_ms = range(40 * num_frames, 40 * num_frames + 400, 40)
            _encode(container, stream, second, [picture(num_frames + n, *then_size) for n in range(10)], later_ms)
    return path


def _encode(container: Any, stream: Any, encoder: Any, pictures: Sequence[NDArray[np.uint8]], shown_ms: Sequence[int]) -> None:
    def mux(packets: Sequence[Any]) -> None:
        for packet in packets:
            packet.stream = stream
            container.mux(packet)

    for image_HW3, time_ms in zip(pictures, shown_ms, strict=True):
        frame = av.VideoFrame.from_ndarray(image_HW3, format="rgb24")
        frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
        mux(encoder.encode(frame))
    mux(encoder.encode(None))


@pytest.fixture
def write_video(tmp_path: Path) -> WriteVideo:
    """write_video("name.mp4", 50, codec=…, times_ms=…, …) -> path; 50 frames of 160x96 with B-frames by default."""
    return lambda name, *arguments, **options: _write(tmp_path / name, *arguments, **options)


@pytest.fixture
def read_number() -> ReadNumber:
    """The number that a frame's bars carry."""
    return _number


@pytest.fixture
def write_picture(tmp_path: Path) -> WritePicture:
    """write_picture("folder/name.png", array or PIL image, **save options) -> path."""

    def write(name: str, picture: NDArray[np.uint8] | Image.Image, **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        image.save(path, **options)
        return path

    return write
