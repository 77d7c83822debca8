"""Seconds from an empty directory to the first machine labels, and the memory of the largest process.

A video is drawn (or one of yours is given, with NAME.coco.json beside it), five of its frames are labelled, and the verbs
`fit` and `label` run as a user would run them. Prints wall seconds of each verb, frames per second of `label`, and the
largest resident set of any process.

    python tests/benchmarks/first_labels.py                                  # 100 frames of 854x480, quality, from scratch
    python tests/benchmarks/first_labels.py --video davis_dog.mp4 --weights mobilenet_v2.pth --workers 2
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from training.data.coco import read_coco
from training.data.sources import probe
from training.data.world import draw_video
from training.loop.annotator import draw_labels
from training.loop.sample import evenly_spaced
from training.loop.simulation import Truth
from training.store.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--recipe", default="quality")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        store, num_frames = _labelled_store(asked.video, Path(scratch))
        seconds = {"add": time.monotonic() - started}
        memory = _Memory()
        how = ["--recipe", asked.recipe, "--weights", asked.weights]
        seconds["fit"] = _verb(["fit", "--store", store, *how, "--workers", str(asked.workers)])
        seconds["label"] = _verb(["label", "--store", store, "--workers", str(asked.workers)])
    print(f"frames {num_frames}, recipe {asked.recipe}, weights {asked.weights}, workers {asked.workers}")
    print("seconds " + ", ".join(f"{name} {value:.0f}" for name, value in seconds.items()) + f", all {sum(seconds.values()):.0f}")
    print(f"label: {num_frames / seconds['label']:.1f} frames/s with start-up")
    print(f"largest process: {memory.stop() / 2**20:.0f} MiB")


def _labelled_store(video: Path | None, scratch: Path) -> tuple[str, int]:
    if video is None:
        video = scratch / "street.mp4"
        draw_video(video, seed=0, num_frames=100, width=854, height=480, camera="crossing")
    shard = probe(video)
    ontology, labels = read_coco(video.with_suffix(".coco.json"), shard).labels["detection"]
    store = Store.create(str(scratch / "store"))
    store.add_shard(shard)
    store.add_ontology(ontology)
    draw_labels(store, Truth(shard=shard, ontology=ontology, labels=labels), evenly_spaced(shard.num_frames, 5))
    return store.url, shard.num_frames


def _verb(arguments: list[str]) -> float:
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "cluster", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


class _Memory:
    """The largest resident set of any process that descends from this one, watched four times a second."""

    def __init__(self) -> None:
        self._largest, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Bytes."""
        self._over.set()
        self._thread.join()
        return self._largest

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            family = {os.getpid()}
            for pid, parent, rss in sorted(_processes()):
                if parent in family:
                    family.add(pid)
                    self._largest = max(self._largest, rss)


def _processes() -> list[tuple[int, int, int]]:
    """(pid, parent, bytes resident) of every process that can be seen."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found.append((int(folder.name), int(fields[1]), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")))
    return found


if __name__ == "__main__":
    main()
