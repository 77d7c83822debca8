"""`export` of stores that grow: peak memory and annotations per second, each in a process of its own.

    OMP_NUM_THREADS=1 python tests/benchmarks/export_memory.py --formats coco,yolo --boxes 100000 1000000
    OMP_NUM_THREADS=1 python tests/benchmarks/export_memory.py --formats coco,yolo --ten-million

A store is written into a temporary folder: predictions as `label` writes them (or annotations), frames of 10 boxes (of 2 masks
where a format has no boxes) in shards of `--frames`. Memory is to depend on neither the number of shards nor, with predictions,
on their length (`--frames` beyond the size of the store makes it one shard). The slope is in bytes an annotation, from one line
to the next; the control keeps all labels on purpose: its slope must be large, or the measurement sees nothing. Peaks are VmHWM
(Linux): ru_maxrss of a child starts at its parent's peak.
"""

import argparse
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cluster.cli.export import Format, Leave, What, export
from training.data.annotations import Annotation, FrameLabels, labels_to_table
from training.data.formats.records import Part
from training.data.formats.table import FORMATS
from training.data.formats.writing import write_labels
from training.data.ontology import Ontology
from training.data.rle import encode, mask_box
from training.data.shards import Shard
from training.store.card import Card
from training.store.predictions import PREDICTION_SCHEMA
from training.store.store import Store

WIDTH, HEIGHT = 320, 240
FRAMES_PER_CLIP = 64


def boxes() -> tuple[Annotation, ...]:
    said = {"class_name": "car", "provenance": "model", "generation": 1, "score": 0.875}
    return tuple(Annotation(bbox_xyxy=(n * 30.0, 10.3, n * 30.0 + 20.1, 50.7), **said) for n in range(10))  # type: ignore[arg-type]


def masks() -> tuple[Annotation, ...]:
    found = []
    for x in (10, 200):
        mask_HW = np.zeros((HEIGHT, WIDTH), np.bool_)
        mask_HW[20:90, x : x + 60] = True
        counts = encode(mask_HW)
        found.append(Annotation(class_name="car", rle_counts=counts, bbox_xyxy=mask_box(counts, HEIGHT, WIDTH), generation=1))
    return tuple(found)


def fill(url: str, num_annotations: int, task: str, frames_per_shard: int, what: What) -> None:
    """A store of that many annotations; its Parquet objects are those of `label` and `add`, only made faster."""
    store = Store.create(url)
    ontology = Ontology(name=task, task="segmentation" if task == "masks" else "detection", classes=("car", "bird"))
    store.add_ontology(ontology)
    said = masks() if task == "masks" else boxes()
    left = -(-num_annotations // len(said))
    for number in range(-(-left // frames_per_shard)):
        name, frames = f"shard_{number:05d}", min(frames_per_shard, left)
        left -= frames
        size = {"num_frames": frames, "width": WIDTH, "height": HEIGHT}
        store.add_shard(Shard(shard_id=name, uri=f"/v/{name}.mp4", kind="video", content_hash="sha256:0", **size))  # type: ignore[arg-type]
        if what is What.annotations:
            store.annotate(name, task, [FrameLabels(shard_id=name, frame_index=n, annotations=said) for n in range(frames)])
            continue
        for start in range(0, frames, FRAMES_PER_CLIP):
            stop = min(start + FRAMES_PER_CLIP, frames)
            store.objects.put(
                f"predictions/{task}/shard_id={name}/gen-0001/{start:08d}-{stop:08d}.parquet", clip(name, start, stop, said)
            )
        make_live(store, name, task)


def clip(shard_id: str, start: int, stop: int, said: tuple[Annotation, ...]) -> bytes:
    template = labels_to_table([FrameLabels(shard_id=shard_id, frame_index=0, annotations=said)])
    table = pa.concat_tables([template] * (stop - start)).append_column(
        PREDICTION_SCHEMA.field("error"), pa.nulls(len(said) * (stop - start), pa.string())
    )
    column = PREDICTION_SCHEMA.get_field_index("frame_index")
    table = table.set_column(column, PREDICTION_SCHEMA.field(column), pa.array(np.repeat(np.arange(start, stop), len(said))))
    buffer = io.BytesIO()
    pq.write_table(table.combine_chunks(), buffer, compression="zstd")
    return buffer.getvalue()


def make_live(store: Store, shard_id: str, ontology: str) -> None:
    card = Card(shard_id=shard_id, ontology=ontology, task=store.ontology(ontology).task, classes=("car", "bird"))
    store.registry.promote(shard_id, ontology, store.registry.publish(card, {"nothing": torch.zeros(1)}).generation, "benchmark")


def measure(url: str, name: str, what: What, out: str, keep: bool) -> None:
    """Print: annotations, seconds, peak MiB."""
    started = time.perf_counter()
    if keep:
        store = Store.open(url)
        parts = [
            Part(store.shard(shard_id), store.ontologies()[0], store.predictions.read(shard_id, store.ontologies()[0].name, 1)[0])
            for shard_id in store.shard_ids()
        ]
        write_labels(name, Path(out), lambda: parts, leave_out=frozenset({"scores"}) - FORMATS[name].holds)
    else:
        leave_out = [] if "scores" in FORMATS[name].holds else [Leave.scores]
        export(store=url, out=Path(out), what=what, format=Format(name), leave_out=leave_out)
    print("measured", time.perf_counter() - started, peak_mib())


def peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def measured(url: str, name: str, what: What, keep: bool = False) -> tuple[float, float]:
    """Seconds and peak MiB of one export in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        mode = "keep" if keep else "stream"
        command = [sys.executable, __file__, "--measure", url, name, what.value, f"{folder}/out", mode]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    _, seconds, mib = done.stdout.splitlines()[-1].split()
    return float(seconds), float(mib)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", default="coco,mot")
    parser.add_argument("--boxes", type=int, nargs="+", default=[100_000, 1_000_000], help="annotations in each store")
    parser.add_argument("--ten-million", action="store_true", help="a store of ten million annotations too: takes long")
    parser.add_argument("--frames", type=int, default=1000, help="of one shard")
    parser.add_argument("--what", type=What, default=What.predictions)
    parser.add_argument("--control", action="store_true", help="also keep all labels of the two smallest stores on purpose")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        url, name, what, out, mode = arguments.measure
        measure(url, name, What(what), out, mode == "keep")
        return
    sizes = sorted({*arguments.boxes, *([10_000_000] if arguments.ten_million else [])})
    print(f"{'format':>9}{'annotations':>13}{'per s':>9}{'peak MiB':>10}{'bytes each':>12}", flush=True)
    for task, names in by_task(arguments.formats.split(",")).items():
        with tempfile.TemporaryDirectory() as folder:
            for size in sizes:
                fill(f"{folder}/{size}", size, task, arguments.frames, arguments.what)
            for name in names:
                compare(folder, name, sizes, arguments.what)
                if arguments.control:
                    compare(folder, name, sizes[:2], arguments.what, keep=True)


def by_task(names: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault("boxes" if "boxes" in FORMATS[name].holds else "masks", []).append(name)
    return found


def compare(folder: str, name: str, sizes: list[int], what: What, keep: bool = False) -> None:
    before: tuple[int, float] | None = None
    for size in sizes:
        seconds, mib = measured(f"{folder}/{size}", name, what, keep)
        slope = "" if before is None else f"{(mib - before[1]) * 2**20 / (size - before[0]):.1f}"
        print(f"{name:>9}{size:13}{size / seconds:9.0f}{mib:10.1f}{slope:>12}{'  kept on purpose' * keep}", flush=True)
        before = size, mib


if __name__ == "__main__":
    main()
