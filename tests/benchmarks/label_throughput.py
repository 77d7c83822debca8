"""`label` against decoding and the network alone, and the memory of its actors: ratios within one run.

    OMP_NUM_THREADS=1 python tests/benchmarks/label_throughput.py --workers 1,2

Draws a video, fits one micro-model in a single step and publishes it for every shard: what it finds does not matter here.
"Alone" is a plain loop in as many processes as there are workers: decode a frame, resize it, run the network over as many as
a bank takes at once; no outputs are decoded and nothing is written. `label` is the real verb's fleet; its steady state is
what its actors do between their first and their last clip, and the whole of it has starting actors, waiting for the last one
and writing. Every process of either way computes on one thread and is held on one core, so that the thread that decodes for
`label` cannot use another one. The rounds alternate and the medians count. "Processor" is what all threads of those processes
took for a frame. `--memory` compares the most memory an actor ever had (VmHWM) on a video 10 times as long, and on 10 times
as many shards.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from decode_memory import write_video
from run_together import run_together

import cluster.label
from cluster.label import label_fleet
from cluster.resources import WorkerShape
from cluster.session import ray_session
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.sources import open_frames, probe
from training.learning.clip import Clip, ClipReceipt
from training.learning.generation import fit_jobs, plan_fits
from training.learning.labeller import Labeller
from training.learning.labelling import plan_clips
from training.learning.recipes import quality
from training.models.backbones import Backbone
from training.models.bank import BATCH_PIXELS_CPU
from training.models.cache import ModelCache
from training.models.inputs import input_size, place_frame, stack_inputs
from training.models.together import Together
from training.store.store import Store

ONTOLOGY = Ontology(name="squares", task="detection", classes=("square",))
WARM_FRAMES = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--shards", type=int, default=6)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--size", default="640x360", help="WIDTHxHEIGHT of the video")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--alone", metavar="STORE", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        alone(asked.alone, asked.only.split(","))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder, workers = Path(scratch), [int(count) for count in asked.workers.split(",")]
        store = made(folder, asked, shards=asked.shards, frames=asked.frames)
        with ray_session(num_cpus=max(workers)):
            for count in workers:
                compare(store, folder, count, asked.rounds)
            if asked.memory:
                memory(folder, asked)


def compare(store: Store, folder: Path, workers: int, rounds: int) -> None:
    frames = sum(shard.num_frames for shard in store.shards())
    found: dict[str, list[dict[str, float]]] = {"alone": [], "label": []}
    for _ in range(rounds):
        found["alone"].append(run_alone(store, workers))
        found["label"].append(run_label(store, folder, workers))
    middle = {way: {name: statistics.median(one[name] for one in ran) for name in ran[0]} for way, ran in found.items()}
    steady, whole = middle["label"]["fps"], frames / middle["label"]["wall_s"]
    print(
        f"{workers} workers, {frames} frames: alone {middle['alone']['fps']:.1f} frames/s, "
        f"label {steady:.1f} steady: ratio {steady / middle['alone']['fps']:.2f}; "
        f"processor: {1000 * middle['alone']['cpu_s']:.1f} and {1000 * middle['label']['cpu_s']:.1f} ms a frame: "
        f"ratio {middle['alone']['cpu_s'] / middle['label']['cpu_s']:.2f}"
    )
    print(
        f"  the whole of label: {middle['label']['wall_s']:.1f} s, {whole:.1f} frames/s; start-up (to the first frame) "
        f"{middle['label']['start_s']:.1f} s; rounds, frames/s: alone {listed(found['alone'])}, label {listed(found['label'])}",
        flush=True,
    )


def listed(ran: Sequence[dict[str, float]]) -> str:
    return " ".join(f"{one['fps']:.1f}" for one in ran)


def run_alone(store: Store, workers: int) -> dict[str, float]:
    """All frames, the shards dealt to as many processes; they begin together when all are warm."""
    shard_ids = store.shard_ids()
    arguments = [["--alone", store.url, "--only", ",".join(shard_ids[number::workers])] for number in range(workers)]
    said = [json.loads(line) for line in run_together(__file__, arguments, cores(workers))[0]]
    frames = sum(one["frames"] for one in said)
    return {
        "fps": sum(one["frames"] / one["seconds"] for one in said),
        "cpu_s": sum(one["cpu_s"] for one in said) / frames,
    }


def alone(url: str, shard_ids: Sequence[str]) -> None:
    torch.set_num_threads(1)
    store = Store.open(url)
    list(islice(looked_at(store, shard_ids[0]), WARM_FRAMES))
    print("warm", flush=True)
    sys.stdin.readline()
    began, cpu = time.monotonic(), time.process_time()
    frames = sum(1 for shard_id in shard_ids for _ in looked_at(store, shard_id))
    print(json.dumps({"frames": frames, "seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu}))


@torch.inference_mode()
def looked_at(store: Store, shard_id: str) -> Iterator[None]:
    """Decode, resize, and run the network; one answer a frame, which nobody looks at."""
    card = store.registry.resolve(shard_id)
    network = ModelCache(store.registry, 0).get(card).network
    network = network.to(memory_format=torch.channels_last)
    scale = network.config.scale
    with open_frames(store.shard(shard_id)) as source:
        frames = iter(source.read())
        height, width = input_size(next(source.read([0])), scale)
        size = max(1, BATCH_PIXELS_CPU // (height * width))
        while batch := list(islice(frames, size)):
            inputs = stack_inputs([place_frame(frame, scale)[0] for frame in batch], torch.device("cpu"))
            Together([network], [len(batch)])(inputs)
            yield from [None] * len(batch)


def one_core_each(count: int, units: int, *, elastic: bool = False) -> WorkerShape:
    """Instead of `plan_workers`: as many workers as are asked for, whatever the machine has."""
    return WorkerShape(num_workers=min(count, units), cpus=1, gpus=0.0)


def run_label(store: Store, folder: Path, workers: int) -> dict[str, float]:
    notes = folder / "notes"
    shutil.rmtree(notes, ignore_errors=True)
    notes.mkdir()
    shutil.rmtree(Path(store.url) / "predictions", ignore_errors=True)
    clips = plan_clips(store, None, None).clips
    for core in cores(workers):
        (notes / f"core-{core}").touch()
    began = time.monotonic()
    with patch.object(cluster.label, "plan_workers", one_core_each):
        receipts = label_fleet(store.url, clips, num_workers=workers, labeller=partial(NotingLabeller, notes=str(notes)))
    wall_s = time.monotonic() - began
    assert not [receipt.error for receipt in receipts if receipt.error]
    actors = [[json.loads(line) for line in file.read_text().splitlines()] for file in notes.glob("actor-*")]
    speeds, processor = [], []
    for lines in actors:
        first, last = lines[1], lines[-1]  # lines[0]: when the first frame was about to be decoded
        frames = sum(line["frames"] for line in lines[2:])
        if frames:
            speeds.append(frames / (last["at"] - first["at"]))
            processor.append((frames, last["cpu_s"] - first["cpu_s"]))
    return {
        "fps": sum(speeds),
        "cpu_s": sum(spent for _, spent in processor) / sum(frames for frames, _ in processor),
        "wall_s": wall_s,
        "start_s": min(lines[0]["at"] for lines in actors) - began,
        "peak_mib": max(lines[-1]["peak_mib"] for lines in actors),
    }


class NotingLabeller(Labeller):
    """Takes a core that nobody has, and notes for each clip when it was over, and what the process had used by then."""

    def __init__(self, store: Store, *, notes: str, **options: Any) -> None:
        super().__init__(store, **options)
        self._file = (Path(notes) / f"actor-{os.getpid()}").open("a")
        for free in sorted(Path(notes).glob("core-*")):
            with contextlib.suppress(FileNotFoundError):  # another actor was quicker
                free.unlink()
                os.sched_setaffinity(0, {int(free.name.removeprefix("core-"))})
                break

    def label(self, clips: Sequence[Clip], **options: Any) -> Iterator[ClipReceipt]:
        if not self._file.tell():
            self._note(0)
        for receipt in super().label(clips, **options):
            self._note(receipt.num_frames)
            yield receipt

    def _note(self, frames: int) -> None:
        status = Path("/proc/self/status").read_text()
        peak_mib = int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024
        said = {"at": time.monotonic(), "cpu_s": time.process_time(), "frames": frames, "peak_mib": peak_mib}
        self._file.write(json.dumps(said) + "\n")
        self._file.flush()


def cores(count: int) -> list[int]:
    return sorted(os.sched_getaffinity(0))[:count]


def memory(folder: Path, asked: argparse.Namespace) -> None:
    """With a small network on small inputs, so that it is decoding that fills the memory, and soon."""
    small = argparse.Namespace(**{**vars(asked), "backbone": "mobilenet_v3_small", "long_side": 96})
    for what, few, many in (("frames", (2, 200), (2, 2000)), ("shards", (4, 100), (40, 100))):
        peaks = []
        for shards, frames in (few, many):
            store = made(folder, small, shards=shards, frames=frames)
            peaks.append(run_label(store, folder, 1)["peak_mib"])
            shutil.rmtree(store.url)
        sizes = " and ".join(
            f"{shards} shards of {frames} frames {peak:.0f} MiB" for (shards, frames), peak in zip((few, many), peaks)
        )
        print(f"10 times as many {what}: {peaks[1] / peaks[0]:.2f} times the memory; {sizes}", flush=True)


def made(folder: Path, asked: argparse.Namespace, *, shards: int, frames: int) -> Store:
    """A store of shards that are one video under many names, each with a micro-model of its own."""
    width, height = (int(side) // 8 * 8 for side in asked.size.split("x"))
    video = folder / f"{frames}.mp4"
    if not video.exists():
        write_video(video, frames, width, height)
    store = Store.create(str(folder / f"store-{shards}-{frames}"))
    store.add_ontology(ONTOLOGY)
    shard = probe(video, shard_id="s0000")
    store.add_shard(shard)
    annotate(store, "s0000")
    chosen = replace(quality(), steps=1, batch_size=2)
    if side := getattr(asked, "long_side", None):
        chosen = replace(chosen, min_long_side=side, max_long_side=side)
    how: dict[str, Any] = {"recipe": chosen, "backbone": Backbone(name=asked.backbone, weights="none"), "seed": 0}
    (receipt,) = fit_jobs(store, plan_fits(store, None, None, **how).jobs, **how)
    assert receipt.error is None, receipt.error
    card = store.registry.card("s0000", "squares", 1)
    tensors = store.registry.load(card)
    store.registry.promote("s0000", "squares", 1, "benchmark")
    for number in range(1, shards):
        name = f"s{number:04d}"
        store.add_shard(replace(shard, shard_id=name))
        annotate(store, name)
        store.registry.publish(replace(card, shard_id=name, generation=0, fit_key=name), tensors)
        store.registry.promote(name, "squares", 1, "benchmark")
    return store


def annotate(store: Store, shard_id: str) -> None:
    box = Annotation(class_name="square", bbox_xyxy=(10, 10, 110, 90))
    store.annotate(shard_id, ONTOLOGY.name, [FrameLabels(shard_id=shard_id, frame_index=0, annotations=(box,))])


if __name__ == "__main__":
    main()
