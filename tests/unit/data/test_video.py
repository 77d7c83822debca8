"""Exact frames whatever the container, order and rate; and what is refused."""

import os
import random
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from training.data.packets import packet_index
from training.data.shards import Shard
from training.data.sources import open_frames, probe
from training.errors import BadVideo, UnknownFrame

_TIMES_MS = list(accumulate(random.Random(3).choice([10, 33, 40, 200]) for _ in range(100)))
_KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {},
    "faststart.mp4": {"container_options": {"movflags": "+faststart"}},
    "fragmented.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "open_gop.mkv": {"options": {"x264-params": "open-gop=1"}},
    "one_key.mp4": {"options": {"g": "1000"}},
    "varying.mp4": {"times_ms": _TIMES_MS},
    "varying.mkv": {"times_ms": _TIMES_MS},
    "transport.ts": {},
    "untimed.h264": {},
    "hidden.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16", "b": "300k", "cpu-used": "8"}},
    "b_frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "plain.avi": {"codec": "mpeg4", "options": {"bf": "0"}},
}


@pytest.mark.parametrize("name", _KINDS)
def test_frame_n_is_the_nth_frame_in_order_and_by_any_seek(name: str, write_video: Any, read_number: Any) -> None:
    shard = probe(write_video(name, 100, **_KINDS[name]))
    assert shard.num_frames == 100
    assert [read_number(frame.image_HW3) for frame in open_frames(shard).read()] == list(range(100))
    draw = random.Random(1)
    choices = [[number] for number in (0, 33, 50, 64, 98, 99)] + [
        draw.sample(range(100), k=draw.randint(1, 4)) for _ in range(10)
    ]
    with open_frames(shard) as frames:
        for chosen in choices:
            found = [(frame.frame_index, read_number(frame.image_HW3)) for frame in frames.read(chosen)]
            assert found == [(number, number) for number in sorted(chosen)]


def test_a_seek_gives_the_same_pixels_as_decoding_in_order(write_video: Any) -> None:
    shard = probe(write_video("a.mp4", 100))
    in_order = list(open_frames(shard).read())
    for number in (40, 77, 99):
        (frame,) = open_frames(shard).read([number])
        np.testing.assert_array_equal(frame.image_HW3, in_order[number].image_HW3)


def test_more_threads_give_the_same_frames(write_video: Any, read_number: Any) -> None:
    shard = probe(write_video("a.mp4", 100), threads=2)
    assert [read_number(frame.image_HW3) for frame in open_frames(shard, threads=2).read([1, 50, 99])] == [1, 50, 99]


def test_a_far_frame_is_reached_by_its_key_frame(write_video: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = probe(write_video("a.mp4", 100))
    decoded: list[int] = []
    from training.data import video

    after_seek = video._after_seek

    def counted(*arguments: Any) -> Any:
        for number, picture in after_seek(*arguments):
            decoded.append(number)
            yield number, picture

    monkeypatch.setattr(video, "_after_seek", counted)
    list(open_frames(shard).read([95]))
    assert decoded[0] == packet_index(shard.uri).key_before(95) == 84
    assert len(decoded) == 95 - 84 + 1


def test_a_segment_counts_its_frames_from_zero(write_video: Any, read_number: Any) -> None:
    whole = probe(write_video("a.mp4", 100))
    segment = Shard(**{**whole.to_json(), "shard_id": "a-part", "first_frame": 60, "num_frames": 20})
    found = [(frame.frame_index, read_number(frame.image_HW3)) for frame in open_frames(segment).read([0, 7, 19])]
    assert found == [(0, 60), (7, 67), (19, 79)]
    with pytest.raises(UnknownFrame, match=r"a-part: frame 20 .* 0 to 19"):
        open_frames(segment).read([20])


def test_frames_are_given_once_in_increasing_order(write_video: Any) -> None:
    shard = probe(write_video("a.mp4"))
    assert [frame.frame_index for frame in open_frames(shard).read([9, 2, 9, 40])] == [2, 9, 40]
    assert list(open_frames(shard).read([])) == []


@pytest.mark.parametrize("index", [-1, 50])
def test_a_frame_that_does_not_exist_is_refused_before_decoding(write_video: Any, index: int) -> None:
    with pytest.raises(UnknownFrame, match=f"frame {index} does not exist, needed 0 to 49"):
        open_frames(probe(write_video("a.mp4"))).read([index])


def test_size_rate_and_hash_are_told(write_video: Any) -> None:
    shard = probe(write_video("my clip.mp4", 100, times_ms=[0, *range(1000, 1099)]))
    assert (shard.kind, shard.width, shard.height) == ("video", 160, 96)
    assert shard.fps == pytest.approx(99 / 1.098)
    assert shard.shard_id.startswith("my-clip-")
    assert Path(shard.uri).is_absolute()
    assert shard.content_hash.startswith("sha256:")
    assert Shard.from_json(shard.to_json()) == shard


def _corners(number: int, width: int, height: int) -> Any:
    """Top left bright, top right half bright, the bottom dark."""
    image_HW3 = np.zeros((height, width, 3), np.uint8)
    image_HW3[: height // 2, : width // 2] = 240
    image_HW3[: height // 2, width // 2 :] = 120
    return image_HW3


@pytest.mark.parametrize("turn", [(angle, *flips) for angle in (0, 90, 180, 270) for flips in ((False, False), (True, False))])
def test_a_display_matrix_is_honoured(write_video: Any, turn: tuple[int, bool, bool]) -> None:
    path = write_video("phone.mp4", 30, turn=turn, picture=_corners)
    shard = probe(path)
    assert (shard.width, shard.height) == ((96, 160) if turn[0] in (90, 270) else (160, 96))
    (frame,) = open_frames(shard).read([20])
    assert frame.image_HW3.shape == (shard.height, shard.width, 3)
    h, w = shard.height, shard.width
    found = [[int(frame.image_HW3[y, x].mean()) for x in (w // 4, 3 * w // 4)] for y in (h // 4, 3 * h // 4)]
    np.testing.assert_allclose(found, _shown(_matrix(path)), atol=25)


def _matrix(path: Path) -> Any:
    with av.open(str(path)) as container:
        data: Any = next(container.decode(video=0)).side_data.get("DISPLAYMATRIX")
    return np.eye(3) if data is None else np.frombuffer(bytes(data), np.int32).reshape(3, 3) / [65536, 65536, 1 << 30]


def _shown(matrix: Any) -> Any:
    """Where the four quarters go when every centre, as seen from the middle, is multiplied with the matrix."""
    shown = np.zeros((2, 2))
    for y, x, value in ((-1, -1, 240), (-1, 1, 120), (1, -1, 0), (1, 1, 0)):
        right, down = (np.array([x, y, 0]) @ matrix)[:2]
        shown[int(down > 0), int(right > 0)] = value
    return shown


def test_a_quarter_turn_anticlockwise_puts_the_top_right_corner_top_left(write_video: Any) -> None:
    (frame,) = open_frames(probe(write_video("phone.mp4", 30, turn=(90, False, False), picture=_corners))).read([0])
    assert [int(frame.image_HW3[y, 24].mean()) // 100 for y in (40, 120)] == [1, 2]


def _cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("end.mp4", {}),
        ("front.mp4", {"container_options": {"movflags": "+faststart"}}),
        ("a.mkv", {}),
        ("a.avi", {"codec": "mpeg4", "options": {"bf": "0"}}),
    ],
)
def test_a_truncated_video_is_refused(write_video: Any, name: str, options: dict[str, Any], share: float) -> None:
    path = _cut(write_video(name, 100, **options), share)
    with pytest.raises(BadVideo, match=f"^[^\n]*{name}: [^\n]*needed[^\n]*$"):
        probe(path)


def test_a_video_cut_off_inside_its_last_frame_is_refused(write_video: Any) -> None:
    path = write_video("a.mp4", 100, container_options={"movflags": "+faststart"})
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(BadVideo, match="cut off"):
        probe(path)


def test_a_video_with_a_hole_is_refused(write_video: Any) -> None:
    path = write_video("a.mp4", 100, container_options={"movflags": "+faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + data[len(data) * 6 // 10 :])
    with pytest.raises(BadVideo, match="cut off"):
        probe(path)


def test_overwritten_frames_are_refused_and_named(write_video: Any) -> None:
    path = write_video("a.mp4", 100, container_options={"movflags": "+faststart"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(BadVideo, match=r"frame \d+: "):
        probe(path)


@pytest.mark.parametrize("name", ["change.mp4", "change.mkv", "change.ts"])
def test_a_video_whose_frames_change_size_is_refused_and_the_frame_named(write_video: Any, name: str) -> None:
    with pytest.raises(BadVideo, match="frame 30 is 128x64, needed 160x96"):
        probe(write_video(name, 30, then_size=(128, 64)))


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "0 bytes"), (b"no video\n" * 40, "Invalid data"), (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hosts\n", "Invalid data")],
    ids=["empty", "text", "playlist"],
)
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "not.mp4"
    path.write_bytes(content)
    with pytest.raises(BadVideo, match=f"not.mp4: {found}"):
        probe(path)


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream: Any = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(BadVideo, match="audio streams only"):
        probe(tmp_path / "sound.mp4")


def test_a_transport_stream_recorded_from_midway_counts_from_its_first_whole_frame(write_video: Any, read_number: Any) -> None:
    path = write_video("tv.ts", 100)
    packets = len(path.read_bytes()) // 188
    path.write_bytes(path.read_bytes()[188 * (packets // 3) :])
    shard = probe(path)
    numbers = [read_number(frame.image_HW3) for frame in open_frames(shard).read()]
    assert 0 < numbers[0] < 99
    assert numbers == list(range(numbers[0], 100))
    (last,) = open_frames(shard).read([shard.num_frames - 1])
    assert read_number(last.image_HW3) == 99


def test_a_video_that_was_replaced_after_it_was_added_is_noticed(write_video: Any) -> None:
    shard = probe(write_video("a.mp4", 50))
    write_video("a.mp4", 30)
    with pytest.raises(BadVideo, match="frame 40 was not found"):
        list(open_frames(shard).read([40]))
    write_video("a.mp4", 50, size=(128, 64))
    with pytest.raises(BadVideo, match="frame 3 is 128x64, needed 160x96"):
        list(open_frames(shard).read([3]))


_PEAKS = """
import sys
from training.data.sources import open_frames, probe
for path in sys.argv[1:]:
    shard = probe(path)
    for frame in open_frames(shard).read():
        pass
    list(open_frames(shard).read([shard.num_frames - 1]))
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_length_of_the_video(write_video: Any) -> None:
    """1000 frames are 737 MB as pixels; after 50 frames the process may grow by 16 of them."""
    size = (640, 384)
    paths = [
        write_video(f"{num_frames}.mp4", num_frames, size=size, options={"preset": "ultrafast"}) for num_frames in (50, 1000)
    ]
    done = subprocess.run([sys.executable, "-c", _PEAKS, *map(str, paths)], check=True, capture_output=True, text=True)
    short_kib, long_kib = (int(line) for line in done.stdout.split())
    assert (long_kib - short_kib) * 1024 < 16 * 640 * 384 * 3


_SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.mark.skipif(not _SHARED.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize("name", ["davis_dog", "camvid_0001tp", "otb_crossing"])
def test_real_videos_seek_to_what_they_decode_in_order(name: str) -> None:
    shard = probe(_SHARED / f"{name}.mp4")
    in_order = [frame.image_HW3.tobytes() for frame in open_frames(shard).read()]
    assert len(in_order) == shard.num_frames
    for number in (shard.num_frames - 1, shard.num_frames // 2, 40):
        (frame,) = open_frames(shard).read([number])
        assert frame.image_HW3.tobytes() == in_order[number]
