"""Exporting a store, and one ten times as large: peak memory and annotations per second, each in a process of its own.

    OMP_NUM_THREADS=1 python tests/benchmarks/export_memory.py --formats coco,yolo,cvat --shards 20

Shards hold 500 frames of 10 boxes (or 2 masks). Memory is to depend on the largest shard and not on their number: look at the
slope, in bytes an annotation, from 10 shards on (the first ones warm up). The last column keeps every shard on purpose: its slope
must be large, or the measurement sees nothing. Peaks are VmHWM (Linux): ru_maxrss of a child starts at its parent's peak.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.data.annotations import Annotation, FrameLabels
from training.data.formats.records import Part
from training.data.formats.table import FORMATS
from training.data.formats.writing import write_labels
from training.data.ontology import Ontology
from training.data.rle import encode, mask_box
from training.data.shards import Shard

FRAMES = 500


def parts(num_shards: int, task: str) -> Iterator[Part]:
    """Shards made as they are asked for, as a store reads them."""
    ontology = Ontology(name=task, task="segmentation" if task == "masks" else "detection", classes=("car", "bird"))
    for number in range(num_shards):
        name = f"shard_{number:05d}"
        shard = Shard(
            shard_id=name, uri=f"/v/{name}.mp4", kind="video", num_frames=FRAMES, width=320, height=240, content_hash="sha256:0"
        )
        draw = masks if task == "masks" else boxes
        yield Part(shard, ontology, [FrameLabels(shard_id=name, frame_index=n, annotations=draw()) for n in range(FRAMES)])


def boxes() -> tuple[Annotation, ...]:
    return tuple(Annotation(class_name="car", bbox_xyxy=(n * 30.0, 10.3, n * 30.0 + 20.1, 50.7)) for n in range(10))


def masks() -> tuple[Annotation, ...]:
    found = []
    for x in (10, 200):
        mask_HW = np.zeros((240, 320), np.bool_)
        mask_HW[20:90, x : x + 60] = True
        counts = encode(mask_HW)
        found.append(Annotation(class_name="car", rle_counts=counts, bbox_xyxy=mask_box(counts, 240, 320)))
    return tuple(found)


def measure(name: str, num_shards: int, folder: str, hoard: bool) -> None:
    """Print: annotations, seconds, bytes on disk, peak MiB."""
    task = "boxes" if "boxes" in FORMATS[name].holds else "masks"
    kept = list(parts(num_shards, task)) if hoard else None
    out = Path(folder) / "out"
    started = time.perf_counter()
    num_annotations = write_labels(name, out, lambda: kept or parts(num_shards, task))
    seconds, peak = time.perf_counter() - started, peak_mib()  # before the files are listed: a list of them takes memory too
    num_bytes = sum(path.stat().st_size for path in (out, *out.rglob("*")) if path.is_file())
    print(num_annotations, seconds, num_bytes, peak)


def peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def measured(name: str, num_shards: int, mode: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--measure", name, str(num_shards), folder, mode]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(value) for value in done.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", default=",".join(name for name, form in FORMATS.items() if form.reads))
    parser.add_argument("--shards", type=int, default=10, help="of the smaller store")
    parser.add_argument("--times", type=int, default=4, help="how much larger the larger one is")
    parser.add_argument("--measure", nargs=4, metavar=("FORMAT", "SHARDS", "FOLDER", "MODE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, num_shards, folder, mode = arguments.measure
        measure(name, int(num_shards), folder, mode == "hoard")
        return
    print(f"{'format':>9}{'annotations':>13}{'per s':>9}{'MB on disk':>12}{'peak MiB':>10}{'bytes each':>12}{'if kept':>9}")
    for name in arguments.formats.split(","):
        slopes, rows = [], []
        for mode in ("stream", "hoard"):
            few, many = (measured(name, arguments.shards * times, mode) for times in (1, arguments.times))
            slopes.append((many[3] - few[3]) * 2**20 / (many[0] - few[0]))
            rows.append(many)
        count, seconds, num_bytes, mib = rows[0]
        print(f"{name:>9}{count:13.0f}{count / seconds:9.0f}{num_bytes / 1e6:12.1f}{mib:10.1f}{slopes[0]:12.1f}{slopes[1]:9.0f}")


if __name__ == "__main__":
    main()
