"""Decoding a video and one 20 times as long: peak memory and frames per second, each in a process of its own.

    OMP_NUM_THREADS=1 python tests/benchmarks/decode_memory.py --frames 150 --size 854x480

The ratio of memory is to stay near 1 whatever the length; that of speed too. Look at the ratios: the figures are the machine's.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from training.data.sources import open_frames, probe


def write_video(path: Path, num_frames: int, width: int, height: int) -> None:
    """H.264 with B-frames and a key frame every 30: noise that moves, so that there is something to decode."""
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"bf": "3", "g": "30", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *noise_HW3.shape[:2], "yuv420p"
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.roll(noise_HW3, 3 * number, axis=1), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(path: str) -> None:
    """Print: frames, seconds to add, seconds to read them all, seconds to read ten apart, peak MiB."""
    started = time.perf_counter()
    shard = probe(path)
    added = time.perf_counter()
    num_read = sum(1 for _ in open_frames(shard).read())
    read = time.perf_counter()
    sum(1 for _ in open_frames(shard).read(range(0, shard.num_frames, max(1, shard.num_frames // 10))))
    picked = time.perf_counter()
    status = Path("/proc/self/status").read_text()  # Linux; ru_maxrss of a child starts at its parent's peak
    peak_mib = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
    print(num_read, added - started, read - added, picked - read, peak_mib)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150, help="of the shorter video")
    parser.add_argument("--size", default="854x480", help="WIDTHxHEIGHT")
    parser.add_argument("--measure", metavar="VIDEO", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure)
        return
    width, height = (int(side) // 16 * 16 for side in arguments.size.split("x"))
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for times in (1, 20):
            path = Path(directory) / f"{times}.mp4"
            write_video(path, arguments.frames * times, width, height)
            command = [sys.executable, __file__, "--measure", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append([float(value) for value in done.stdout.split()])
    print(f"{'frames':>8}{'add s':>9}{'read/s':>9}{'10 apart s':>12}{'peak MiB':>10}")
    for num_frames, add_s, read_s, picked_s, peak_mib in rows:
        print(f"{num_frames:8.0f}{add_s:9.2f}{num_frames / read_s:9.0f}{picked_s:12.2f}{peak_mib:10.0f}")
    speed = (rows[1][0] / rows[1][2]) / (rows[0][0] / rows[0][2])
    print(f"20 times as long: {rows[1][4] / rows[0][4]:.2f} times the memory, {speed:.2f} times the speed")


if __name__ == "__main__":
    main()
